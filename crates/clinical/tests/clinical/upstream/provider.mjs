// An OpenID provider (npm oidc-provider) at localhost, with the settings in `provider.json`, and the keys and the certificate of
// this folder. Whoever signs in, with whatever password, is who they say.

import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, port] = process.argv.slice(2);
const module = createRequire(`${modules}/`).resolve('oidc-provider');
const { default: Provider } = await import(pathToFileURL(module));
const { client, keys } = JSON.parse(readFileSync('provider.json'));

const jwk = ({ file, alg }) => ({
  ...createPrivateKey(readFileSync(file)).export({ format: 'jwk' }),
  kid: file,
  use: 'sig',
  alg,
});

const provider = new Provider(`https://localhost:${port}`, {
  clients: [client],
  jwks: { keys: keys.map(jwk) },
  cookies: { keys: ['for these tests alone'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `<b>${id}</b>`, email: `${id}@ward.example` }) }),
  claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
  // As most providers, it says them in the ID token.
  conformIdTokenClaims: false,
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256'] },
});

https
  .createServer({ key: readFileSync('server.key'), cert: readFileSync('server.pem') }, provider.callback())
  .listen(port, '127.0.0.1');
