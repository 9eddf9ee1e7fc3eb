// A piece of software of a community, by node and npm jose: it reads what a server says of itself (`read`), or signs what stands
// in `claims.json` (`sign`). Its folder has `app.key`, `app.pem` and the community's `ca.pem`.

import assert from 'node:assert';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, verb] = process.argv.slice(2);
const { SignJWT, decodeProtectedHeader, jwtVerify } = await import(
  pathToFileURL(createRequire(`${modules}/`).resolve('jose'))
);

if (verb === 'read') {
  const { signed_metadata: signed } = JSON.parse(readFileSync('metadata.json'));
  const { x5c } = decodeProtectedHeader(signed);
  const own = new X509Certificate(Buffer.from(x5c[0], 'base64'));
  const community = new X509Certificate(readFileSync('ca.pem'));
  assert(own.checkIssued(community) && own.verify(community.publicKey));
  const { payload } = await jwtVerify(signed, own.publicKey, { algorithms: ['RS256'] });
  assert(own.subjectAltName.split(', ').includes(`URI:${payload.iss}`));
  console.log(JSON.stringify(payload));
} else {
  const certificate = new X509Certificate(readFileSync('app.pem')).raw.toString('base64');
  const claims = JSON.parse(readFileSync('claims.json'));
  const token = new SignJWT(claims).setProtectedHeader({ alg: 'ES256', x5c: [certificate] });
  console.log(await token.sign(createPrivateKey(readFileSync('app.key'))));
}
