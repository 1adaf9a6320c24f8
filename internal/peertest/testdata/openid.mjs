// An OpenID provider for tests: oidc-provider, a certified one, with a log-in page of a name and no password, and its people and clients from a
// file. Usage: node openid.mjs MODULE SETTINGS, where MODULE is oidc-provider's entry file. Its keys are new with each start.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { pathToFileURL } from "node:url";

const { Provider } = await import(pathToFileURL(process.argv[2]));
const settings = () => JSON.parse(readFileSync(process.argv[3]));
const { issuer, clients, claims, features } = settings();
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

const provider = new Provider(issuer, {
  clients,
  claims,
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: randomBytes(8).toString("hex") }] },
  cookies: { keys: [randomBytes(16).toString("hex")] },
  pkce: { required: () => true },
  ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, RefreshToken: 600, Session: 600 },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: true }, ...features },
  issueRefreshToken: (_, client) => client.grantTypeAllowed("refresh_token"),
  findAccount: (_, id) => settings().people[id] && { accountId: id, claims: () => ({ sub: id, ...settings().people[id] }) }, // as they are now
  // Everybody consents to everything: what is shown to whom is not what is tested.
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope(ctx.oidc.params.scope);
    await grant.save();
    return grant;
  },
});

const page = (text) => `<!doctype html><html lang="en"><title>provider</title>${text}</html>`;
const routes = provider.callback();
createServer(async (request, response) => {
  if (!request.url.startsWith("/interaction/")) return routes(request, response);
  try {
    if (request.method === "POST") {
      let body = "";
      for await (const chunk of request) body += chunk;
      const who = new URLSearchParams(body).get("login");
      const result = who === "nobody" ? { error: "access_denied", error_description: "he went away" } : { login: { accountId: who } };
      return await provider.interactionFinished(request, response, result);
    }
    response.setHeader("Content-Type", "text/html");
    response.end(page(`<form method="post"><input name="login" autofocus><button id="in">Log in</button></form>`));
  } catch (error) {
    response.statusCode = 400;
    response.end(String(error));
  }
}).listen(new URL(issuer).port, "127.0.0.1", () => console.log("ready"));
