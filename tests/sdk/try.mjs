// Published Node clients against the sandbox, as they come: @azure/identity, @azure/msal-node inside it, and
// @microsoft/microsoft-graph-client.
// Started by tests/sdk/run, with NODE_EXTRA_CA_CERTS.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const { ClientSecretCredential, ManagedIdentityCredential } = require("@azure/identity");
const { ConfidentialClientApplication } = require("@azure/msal-node");
const { Client, ResponseType } = require("@microsoft/microsoft-graph-client");
const { TokenCredentialAuthenticationProvider } = require(
  "@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials",
);

const [https, http] = process.argv.slice(2);
const tenant = "aaaaaaaa-0000-4000-8000-000000000001";
const client = "bbbbbbbb-0000-4000-8000-000000000002";
const alice = "11111111-1111-4111-8111-000000000001";
const bob = "11111111-1111-4111-8111-000000000002";
const scope = "https://graph.microsoft.com/.default";
const entra = { authorityHost: https, disableInstanceDiscovery: true };

const done = (what) => console.log(`ok   node: ${what}`);
const sim = async (path, body) => {
  const answer = await fetch(`${http}/_sim/${path}`, body && { method: "POST", body: JSON.stringify(body) });
  assert.equal(answer.status, 200, path);
  return answer.json();
};

const credential = new ClientSecretCredential(tenant, client, "sandbox-secret", entra);
assert.ok((await credential.getToken(scope)).token);
await assert.rejects(new ClientSecretCredential(tenant, client, "wrong", entra).getToken(scope), /AADSTS7000215/);
done("@azure/identity: client secret, and a wrong one");

const msal = new ConfidentialClientApplication({
  auth: {
    clientId: client,
    clientSecret: "sandbox-secret",
    authority: `${https}/${tenant}`,
    knownAuthorities: [new URL(https).host],
  },
});
assert.equal((await msal.acquireTokenByClientCredential({ scopes: [scope] })).tokenType, "Bearer");
done("@azure/msal-node: client secret");

process.env.IDENTITY_ENDPOINT = `${http}/msi/token`;
process.env.IDENTITY_HEADER = "sandbox-identity-header";
assert.ok((await new ManagedIdentityCredential().getToken(scope)).token);
delete process.env.IDENTITY_ENDPOINT;
delete process.env.IDENTITY_HEADER;
done("@azure/identity: managed identity of App Service");

const graph = Client.initWithMiddleware({
  authProvider: new TokenCredentialAuthenticationProvider(credential, { scopes: [scope] }),
  baseUrl: `${https}/`,
  customHosts: new Set(["localhost"]),
});
const presence = (user, action = "") => graph.api(`/users/${user}/presence${action}`);
const busy = { sessionId: client, availability: "Busy", activity: "InACall", expirationDuration: "PT1H" };

await presence(alice, "/setPresence").post(busy);
assert.equal((await presence(alice).get()).activity, "InACall");
done("microsoft-graph-client: setPresence and read");

const many = await graph.api("/communications/getPresencesByUserId").post({ ids: [alice, bob] });
assert.deepEqual(many.value.map((one) => one.availability).sort(), ["Busy", "Offline"]);
done("microsoft-graph-client: getPresencesByUserId");

await presence(alice, "/setUserPreferredPresence").post({ availability: "Away", activity: "Away" });
assert.equal((await presence(alice).get()).availability, "Away");
await presence(alice, "/clearUserPreferredPresence").post({});
done("microsoft-graph-client: preferred presence");

await sim("faults", { on: "set", what: "throttle", retry_after: "1" });
const before = performance.now();
await presence(alice, "/setPresence").post(busy);
assert.ok(performance.now() - before >= 1000, "it waits as told and asks again");
done("microsoft-graph-client: waits for Retry-After");

await assert.rejects(presence(alice, "/setPresence").post({ ...busy, expirationDuration: "PT1M" }), (error) => {
  assert.equal(error.statusCode, 400);
  assert.equal(error.code, "InvalidArgument");
  assert.ok(error.requestId && error.date);
  return true;
});
done("microsoft-graph-client: a refusal with code and request-id");

const body = {
  requests: [
    { id: "1", method: "GET", url: `/users/${alice}/presence` },
    { id: "2", method: "POST", url: `/users/${bob}/presence/setPresence`, headers: { "content-type": "application/json" }, body: busy },
    { id: "3", method: "GET", url: `${https}/v1.0/users/${bob}/presence` },
  ],
};
const { responses } = await graph.api("/$batch").responseType(ResponseType.JSON).post(body);
const status = Object.fromEntries(responses.map((one) => [one.id, one.status]));
assert.deepEqual(status, { 1: 200, 2: 200, 3: 400 });
assert.equal(responses.find((one) => one.id === "1").body.availability, "Busy");
done("microsoft-graph-client: $batch, an absolute address in it refused");

await presence(alice, "/clearPresence").post({ sessionId: client });
await assert.rejects(presence(alice, "/clearPresence").post({ sessionId: client }), { statusCode: 404 });
done("microsoft-graph-client: clearPresence, and 404 the second time");

assert.equal((await sim("metrics")).inside_retry_after, 0);
