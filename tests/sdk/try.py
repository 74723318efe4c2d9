"""Published Python clients against the sandbox, as they come: msal, azure-identity, msgraph-sdk. Started by tests/sdk/run."""

import asyncio
import base64
import datetime
import json
import logging
import os
import ssl
import sys
import tempfile
import time
import urllib.request

import httpx
import msal
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kiota_abstractions.api_error import APIError
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.communications.get_presences_by_user_id.get_presences_by_user_id_post_request_body import (
    GetPresencesByUserIdPostRequestBody,
)
from msgraph.generated.users.item.presence.clear_presence.clear_presence_post_request_body import (
    ClearPresencePostRequestBody,
)
from msgraph.generated.users.item.presence.set_presence.set_presence_post_request_body import (
    SetPresencePostRequestBody,
)
from msgraph.generated.users.item.presence.set_user_preferred_presence.set_user_preferred_presence_post_request_body import (
    SetUserPreferredPresencePostRequestBody,
)
from msgraph.graph_request_adapter import options
from msgraph_core import GraphClientFactory

HTTPS, HTTP, CA = sys.argv[1:4]
TENANT = "aaaaaaaa-0000-4000-8000-000000000001"
CLIENT = "bbbbbbbb-0000-4000-8000-000000000002"
SECRET = "sandbox-secret"
SCOPE = "https://graph.microsoft.com/.default"
ALICE = "11111111-1111-4111-8111-000000000001"
BOB = "11111111-1111-4111-8111-000000000002"
ENTRA = {"authority": HTTPS, "disable_instance_discovery": True, "connection_verify": CA}


def sim(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{HTTP}/_sim/{path}", data=data, method="GET" if body is None else "POST")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def done(what):
    print(f"ok   python: {what}", flush=True)


def claims(token):
    middle = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))


def try_msal():
    def app(secret):
        return msal.ConfidentialClientApplication(
            CLIENT, client_credential=secret, authority=f"{HTTPS}/{TENANT}", instance_discovery=False, verify=CA
        )

    token = app(SECRET).acquire_token_for_client([SCOPE])
    assert token["token_type"] == "Bearer" and claims(token["access_token"])["roles"], token
    refused = app("wrong").acquire_token_for_client([SCOPE])
    assert refused["error_codes"] == [7000215], refused
    done("msal: client secret, and a wrong one")


def try_secret():
    token = ClientSecretCredential(TENANT, CLIENT, SECRET, **ENTRA).get_token(SCOPE)
    assert claims(token.token)["appid"] == CLIENT
    try:
        ClientSecretCredential(TENANT, CLIENT, "wrong", **ENTRA).get_token(SCOPE)
    except ClientAuthenticationError as error:
        assert "AADSTS7000215" in str(error), error
    else:
        raise AssertionError("a wrong secret was accepted")
    done("azure-identity: client secret, and a wrong one")


def try_certificate():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tried")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    names = [
        base64.urlsafe_b64encode(certificate.fingerprint(kind)).decode().rstrip("=")
        for kind in (hashes.SHA1(), hashes.SHA256())
    ]
    sim("config", {"trusted": {"certificates": names + [name + "=" * (-len(name) % 4) for name in names]}})
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    token = CertificateCredential(TENANT, CLIENT, certificate_data=pem, **ENTRA).get_token(SCOPE)
    assert claims(token.token)["appid"] == CLIENT
    sim("config", {"trusted": {"certificates": []}})
    try:
        CertificateCredential(TENANT, CLIENT, certificate_data=pem, **ENTRA).get_token(SCOPE)
    except ClientAuthenticationError as error:
        assert "AADSTS700027" in str(error), error
    else:
        raise AssertionError("a certificate that is not registered was accepted")
    done("azure-identity: client certificate, and one that is not registered")


def try_workload():
    sim("config", {"trusted": {"federated": [{"issuer": "https://oidc.example", "subject": "system:bridge"}]}})
    body = {
        "iss": "https://oidc.example",
        "sub": "system:bridge",
        "aud": "api://AzureADTokenExchange",
        "exp": int(time.time()) + 600,
    }
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "RS256"}, body)]
    with tempfile.NamedTemporaryFile("w", suffix=".jwt") as file:
        file.write(".".join(parts + ["signature"]))
        file.flush()
        credential = WorkloadIdentityCredential(
            tenant_id=TENANT, client_id=CLIENT, token_file_path=file.name, **ENTRA
        )
        assert claims(credential.get_token(SCOPE).token)["appid"] == CLIENT
    done("azure-identity: workload identity")


def try_managed():
    os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = HTTP
    token = ManagedIdentityCredential().get_token(SCOPE)
    assert claims(token.token)["appid"] == CLIENT
    try:
        ManagedIdentityCredential(client_id=ALICE).get_token(SCOPE)
    except Exception as error:  # whichever of its errors
        assert "Identity not found" in str(error), error
    else:
        raise AssertionError("an identity that the machine does not have was accepted")
    os.environ["IDENTITY_ENDPOINT"] = f"{HTTP}/msi/token"
    os.environ["IDENTITY_HEADER"] = "sandbox-identity-header"
    token = ManagedIdentityCredential().get_token(SCOPE)
    assert claims(token.token)["appid"] == CLIENT
    done("azure-identity: managed identity of a virtual machine and of App Service")


def graph():
    credential = ClientSecretCredential(TENANT, CLIENT, SECRET, **ENTRA)
    context = ssl.create_default_context(cafile=CA)
    # Strict as from Python 3.13 on, whichever runs this.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    http = httpx.AsyncClient(base_url=f"{HTTPS}/v1.0", verify=context, timeout=30)
    client = GraphClientFactory.create_with_default_middleware(client=http, options=options)
    provider = AzureIdentityAuthenticationProvider(credential, scopes=[SCOPE])
    adapter = GraphRequestAdapter(provider, client=client)
    adapter.base_url = f"{HTTPS}/v1.0"
    return GraphServiceClient(request_adapter=adapter)


async def try_graph():
    client = graph()
    presence = client.users.by_user_id(ALICE).presence

    def busy(**more):
        return SetPresencePostRequestBody(session_id=CLIENT, availability="Busy", activity="InACall", **more)

    await presence.set_presence.post(busy(expiration_duration="PT1H"))
    seen = await presence.get()
    assert (seen.availability, seen.activity) == ("Busy", "InACall"), seen
    done("msgraph-sdk: setPresence and read")

    body = GetPresencesByUserIdPostRequestBody(ids=[ALICE, BOB])
    many = await client.communications.get_presences_by_user_id.post(body)
    assert {one.id: one.availability for one in many.value} == {ALICE: "Busy", BOB: "Offline"}, many
    done("msgraph-sdk: getPresencesByUserId")

    body = SetUserPreferredPresencePostRequestBody(availability="DoNotDisturb", activity="DoNotDisturb")
    await presence.set_user_preferred_presence.post(body)
    assert (await presence.get()).availability == "DoNotDisturb"
    await presence.clear_user_preferred_presence.post()
    assert (await presence.get()).availability == "Busy"
    done("msgraph-sdk: preferred presence")

    sim("faults", {"on": "set", "what": "throttle", "retry_after": "1"})
    before = time.monotonic()
    await presence.set_presence.post(busy())
    assert time.monotonic() - before >= 1, "it waits as told and asks again"
    done("msgraph-sdk: waits for Retry-After")

    for wrong, code in ((busy(expiration_duration="PT1M"), "InvalidArgument"),):
        try:
            await presence.set_presence.post(wrong)
        except APIError as error:
            assert error.response_status_code == 400 and error.error.code == code, error
            assert error.error.inner_error.request_id, error
        else:
            raise AssertionError("a minute was accepted")
    done("msgraph-sdk: a refusal with code and request-id")

    clear = ClearPresencePostRequestBody(session_id=CLIENT)
    await presence.clear_presence.post(clear)
    try:
        await presence.clear_presence.post(clear)
    except APIError as error:
        assert error.response_status_code == 404, error
    else:
        raise AssertionError("nothing was cleared twice")
    done("msgraph-sdk: clearPresence, and 404 the second time")


async def try_batch():
    from msgraph_core.requests.batch_request_content import BatchRequestContent
    from msgraph_core.requests.batch_request_item import BatchRequestItem

    client = graph()
    requests = {}
    for user in (ALICE, BOB):
        information = client.users.by_user_id(user).presence.to_get_request_information()
        information.path_parameters["baseurl"] = f"{HTTPS}/v1.0"
        item = BatchRequestItem(information)
        item.url = f"/users/{user}/presence"  # what it makes of it, with host and version, Graph refuses
        requests[item.id] = item
    content = BatchRequestContent(requests)
    from msgraph_core.requests.batch_request_builder import BatchRequestBuilder

    answers = await BatchRequestBuilder(client.request_adapter).post(content)
    statuses = sorted(answer.status for answer in answers.responses.values())
    assert statuses == [200, 200], statuses
    done("msgraph-core: $batch")


def main():
    logging.disable(logging.WARNING)  # refusals are asked for
    try_msal()
    try_secret()
    try_certificate()
    try_workload()
    try_managed()
    asyncio.run(try_graph())
    asyncio.run(try_batch())
    metrics = sim("metrics")
    assert metrics["inside_retry_after"] == 0, metrics


main()
