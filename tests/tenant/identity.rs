//! Who somebody is: secrets, assertions, managed identities, clouds, several applications.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use presence_bridge::sandbox::tenant::{App, Cloud, Federated, Request, Settings};
use serde_json::{Value, json};

use super::{ALICE, Client, SCOPE, SESSION, TOKEN, WALL_MS, claims, form, header, read, token_request};

const OTHER: &str = "bbbbbbbb-0000-4000-8000-000000000003";

fn assertion(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), "signature")
}

fn with_assertion(assertion: &str) -> String {
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    format!(
        "client_id={SESSION}&grant_type=client_credentials&scope={SCOPE}&client_assertion_type={kind}\
         &client_assertion={assertion}"
    )
}

fn code(body: &Value) -> u64 {
    body["error_codes"][0].as_u64().unwrap_or_default()
}

#[test]
fn a_federated_token_is_judged_by_issuer_subject_audience_and_time() {
    let mut client = Client::new();
    let trusted = Federated { issuer: "https://oidc.example".to_owned(), subject: "system:bridge".to_owned() };
    client.tenant.settings().trusted.federated = vec![trusted];
    let now = WALL_MS / 1000;
    let good = json!({
        "iss": "https://oidc.example", "sub": "system:bridge", "aud": ["api://AzureADTokenExchange"],
        "nbf": now, "exp": now + 600,
    });
    for (key, value, number) in [
        ("x", json!(0), 0),
        ("aud", json!("api://AzureADTokenExchange"), 0),
        ("iss", json!("https://elsewhere.example"), 700_211),
        ("sub", json!("system:other"), 700_213),
        ("aud", json!("https://graph.microsoft.com"), 700_212),
        ("exp", json!(now), 700_024),
        ("nbf", json!(now + 3600), 700_024),
        ("exp", Value::Null, 700_024),
    ] {
        let mut claims = good.clone();
        claims[key] = value;
        let (status, body) = client.token(&with_assertion(&assertion(&json!({ "alg": "RS256" }), &claims)));
        assert_eq!((status, code(&body)), (if number == 0 { 200 } else { 401 }, number), "{claims}: {body}");
    }
    for broken in ["nonsense", "a.b.c", ""] {
        let (status, body) = client.token(&with_assertion(broken));
        assert_eq!((status, code(&body)), (401, if broken.is_empty() { 7_000_218 } else { 50_027 }), "{body}");
    }
    let wrong_type = with_assertion(&assertion(&json!({}), &good)).replace("jwt-bearer", "saml2-bearer");
    assert_eq!(code(&client.token(&wrong_type).1), 50_027);
}

#[test]
fn an_assertion_by_certificate_names_one_that_is_registered() {
    let mut client = Client::new();
    client.tenant.settings().trusted.certificates = vec!["thumbprint".to_owned()];
    let now = WALL_MS / 1000;
    let endpoint = format!("https://127.0.0.1:8443{TOKEN}");
    let good = json!({ "iss": SESSION, "sub": SESSION, "aud": endpoint, "exp": now + 600 });
    for (name, thumbprint, audience, number) in [
        ("x5t#S256", "thumbprint", &*endpoint, 0),
        ("x5t", "thumbprint", &*endpoint, 0),
        ("x5t", "another", &*endpoint, 700_027),
        ("kid", "thumbprint", &*endpoint, 700_027),
        ("x5t", "thumbprint", "https://elsewhere.example/token", 700_212),
    ] {
        let mut claims = good.clone();
        claims["aud"] = json!(audience);
        let (_, body) =
            client.token(&with_assertion(&assertion(&json!({ "alg": "PS256", name: thumbprint }), &claims)));
        assert_eq!(code(&body), number, "{name} {thumbprint} {audience}: {body}");
    }
}

fn ask(client: &mut Client, path: &str, metadata: Option<&str>, identity: Option<&str>) -> (u16, Value) {
    let own = |text: Option<&str>| text.map(str::to_owned);
    let request = Request {
        method: "GET".to_owned(),
        path: path.to_owned(),
        metadata: own(metadata),
        identity_header: own(identity),
        ..token_request()
    };
    read(&client.send(&request))
}

#[test]
fn a_virtual_machine_gives_tokens_with_numbers_as_texts() {
    let mut client = Client::new();
    let mine = App { client_id: OTHER.to_owned(), roles: vec!["Presence.Read.All".to_owned()], ..App::default() };
    client.tenant.settings().apps = vec![mine];
    client.tenant.settings().apps[0].trusted.resource_id = "/subscriptions/x/mine".to_owned();
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fgraph.microsoft.com%2F";
    let (status, body) = ask(&mut client, path, Some("true"), None);
    let expires_on = (WALL_MS / 1000 + 3599).to_string();
    assert_eq!((status, &body["expires_in"], &body["expires_on"]), (200, &json!("3599"), &json!(expires_on)));
    assert_eq!((&body["client_id"], &body["token_type"]), (&json!(SESSION), &json!("Bearer")));
    body["access_token"].as_str().unwrap().clone_into(&mut client.token);
    assert_eq!(client.set("Busy", "InACall", None).0, 200, "and it is good");
    for (more, id) in [
        (format!("&client_id={OTHER}"), Some(OTHER)),
        ("&msi_res_id=%2Fsubscriptions%2Fx%2FMINE".to_owned(), Some(OTHER)),
        (format!("&client_id={}", ALICE), None),
    ] {
        let (status, body) = ask(&mut client, &format!("{path}{more}"), Some("true"), None);
        assert_eq!((status == 200, body["client_id"].as_str()), (id.is_some(), id), "{more}: {body}");
    }
    for (path, metadata, error) in [
        (path, None, "bad_request_102"),
        (path, Some("false"), "bad_request_102"),
        ("/metadata/identity/oauth2/token?resource=https%3A%2F%2Fgraph.microsoft.com", Some("true"), "bad_request"),
        ("/metadata/identity/oauth2/token?api-version=2018-02-01", Some("true"), "invalid_request"),
        ("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x", Some("true"), "invalid_resource"),
    ] {
        assert_eq!(
            ask(&mut client, path, metadata, None),
            (
                400,
                json!({
                    "error": error, "error_description": ask(&mut client, path, metadata, None).1["error_description"],
                })
            )
        );
    }
}

#[test]
fn app_service_wants_its_header() {
    let mut client = Client::new();
    let path = "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fgraph.microsoft.com";
    for (header, status) in [(Some("sandbox-identity-header"), 200), (Some("wrong"), 401), (None, 401)] {
        let (got, body) = ask(&mut client, path, None, header);
        assert_eq!(got, status, "{header:?}: {body}");
        assert_eq!(body["expires_on"].is_string(), status == 200);
    }
}

#[test]
fn each_cloud_has_its_own_graph() {
    for (cloud, resource, v1, beta) in [
        (Cloud::Global, "graph.microsoft.com", 200, 200),
        (Cloud::GccHigh, "graph.microsoft.us", 200, 404),
        (Cloud::Dod, "dod-graph.microsoft.us", 200, 404),
        (Cloud::China, "microsoftgraph.chinacloudapi.cn", 404, 404),
    ] {
        let mut client = Client::new();
        client.tenant.settings().cloud = cloud;
        let scope = format!("https%3A%2F%2F{resource}%2F.default");
        let (status, body) = client.token(&form("grant_type", &scope));
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().clone_into(&mut client.token);
        assert_eq!(claims(&client.token)["aud"], json!(format!("https://{resource}")));
        for (version, status) in [("v1.0", v1), ("beta", beta)] {
            assert_eq!(client.get(&format!("/{version}/users/{ALICE}/presence")).0, status, "{resource} {version}");
        }
        let elsewhere = if cloud == Cloud::Global { "graph.microsoft.us" } else { "graph.microsoft.com" };
        let scope = format!("https%3A%2F%2F{elsewhere}%2F.default");
        assert_eq!(code(&client.token(&form("grant_type", &scope)).1), 70_011);
    }
}

#[test]
fn two_applications_have_a_session_each() {
    let mut settings = Settings::for_users([ALICE.to_owned()]);
    let roles = settings.roles.clone();
    settings.apps = vec![App { client_id: OTHER.to_owned(), secrets: vec!["two".to_owned()], roles, ..App::default() }];
    let mut first = Client::of(settings);
    let (_, body) = first.token(&form("grant_type", SCOPE).replace(SESSION, OTHER).replace("sandbox%2Dsecret", "two"));
    let second = body["access_token"].as_str().unwrap().to_owned();
    assert_eq!((&claims(&second)["appid"], &claims(&second)["azp"]), (&json!(OTHER), &json!(OTHER)));
    let set = |availability: &str, activity: &str, id: &str| json!({ "sessionId": id, "availability": availability, "activity": activity });
    let path = format!("/v1.0/users/{ALICE}/presence/setPresence");
    assert_eq!(first.post(&path, &set("Busy", "InACall", SESSION)).0, 200);
    let own = std::mem::replace(&mut first.token, second);
    assert_eq!(first.post(&path, &set("Available", "Available", SESSION)).0, 400, "another's session id");
    assert_eq!(first.post(&path, &set("Available", "Available", OTHER)).0, 200);
    assert_eq!(first.seen_at(0), "Busy/InACall", "the strongest");
    first.token = own;
    assert_eq!(first.clear(), 200);
    assert_eq!(first.seen_at(0), "Available/Available", "what is left");
    // A Teams client that says Available hides an application's Away.
    first.tenant.client(ALICE, Some("Available/Available"));
    first.post(&path, &set("Away", "Away", SESSION));
    assert_eq!(first.seen_at(0), "Available/Available");
}

#[test]
fn a_token_that_is_no_good_is_told_why() {
    let mut client = Client::new();
    let path = format!("/v1.0/users/{ALICE}/presence");
    let foreign = |aud: &str, tid: &str| assertion(&json!({}), &json!({ "aud": aud, "tid": tid }));
    let (graph, tenant) = ("https://graph.microsoft.com", "aaaaaaaa-0000-4000-8000-000000000001");
    for (token, message) in [
        (String::new(), "Access token is empty."),
        ("garbage".to_owned(), "Access token has expired or is not yet valid."),
        (foreign("https://management.azure.com", tenant), "Access token validation failure. Invalid audience."),
        (foreign(graph, OTHER), "Access token validation failure. Invalid tenant."),
        (foreign(graph, tenant), "Access token has expired or is not yet valid."),
    ] {
        client.token = token;
        let request = client.presence("GET", &path, String::new());
        let response = client.send(&request);
        let (status, body) = read(&response);
        assert_eq!((status, &body["error"]["message"]), (401, &json!(message)));
        let realm = header(&response, "WWW-Authenticate");
        assert!(realm.starts_with(r#"Bearer realm="", authorization_uri=""#) && !realm.contains("claims"), "{realm}");
    }
}

#[test]
fn a_role_granted_later_is_in_later_tokens_only() {
    let mut settings = Settings::for_users([ALICE.to_owned()]);
    settings.roles = Vec::new();
    let mut client = Client::of(settings);
    assert!(claims(&client.token).get("roles").is_none() && claims(&client.token).get("scp").is_none());
    client.tenant.settings().roles = vec!["Presence.ReadWrite.All".to_owned()];
    let (status, body) = client.set("Busy", "InACall", None);
    assert_eq!((status, &body["error"]["code"], &body["error"]["message"]), (403, &json!("Forbidden"), &json!("")));
    client.renew();
    assert_eq!(client.set("Busy", "InACall", None).0, 200);
}

#[test]
fn whoever_asks_finds_the_authority() {
    let mut client = Client::new();
    let request = Request { method: "GET".into(), path: "/common/discovery/instance?x=y".into(), ..token_request() };
    let (status, body) = read(&client.send(&request));
    let found = body["tenant_discovery_endpoint"].as_str().unwrap();
    assert!(status == 200 && found.starts_with("https://localhost:8443/"), "{body}");
    let unknown = Request {
        path: found.replace("https://localhost:8443/aaaa", "/eeee"),
        method: "GET".into(),
        ..token_request()
    };
    assert_eq!(code(&read(&client.send(&unknown)).1), 90_002);
}
