// Verifies midgate's assertion with what Node.js has built in. Needs Node.js 18 or newer.
//
//   import { Verifier } from './verify.mjs';
//   const verifier = new Verifier('https://app.example.ch', 'https://erp.internal');
//   const claims = await verifier.verify(request.headers['x-midgate-jwt-assertion']);

import { createPublicKey, verify } from 'node:crypto';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

// What a key of each algorithm must be: the token never chooses how it is verified.
const ALGORITHMS = {
  ES256: { kty: 'EC', crv: 'P-256', digest: 'sha256' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', digest: null },
  RS256: { kty: 'RSA', crv: undefined, digest: 'sha256' },
};
// Seconds that two clocks may differ.
const LEEWAY = 30;

export class Verifier {
  // `keysUrl` may name the gateway by an inner address.
  constructor(issuer, audience, keysUrl = `${issuer}/.well-known/midgate/jwks.json`) {
    Object.assign(this, { issuer, audience, keysUrl, keys: new Map() });
  }

  // Gives the claims, or throws.
  async verify(token) {
    const [head, body, signature, ...rest] = String(token ?? '').split('.');
    if (signature === undefined || rest.length > 0) throw new Error('no assertion');
    const { alg, kid, typ, crit } = decoded(head);
    if (typ !== 'midgate-assertion+jwt' || crit !== undefined) throw new Error('another kind of token');
    const how = Object.hasOwn(ALGORITHMS, alg) ? ALGORITHMS[alg] : undefined;
    if (!how) throw new Error('algorithm not allowed');
    const jwk = await this.key(kid);
    if (jwk.kty !== how.kty || jwk.crv !== how.crv || jwk.alg !== alg) throw new Error('the key is for another algorithm');
    const key = { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
    const signed = Buffer.from(`${head}.${body}`);
    if (!verify(how.digest, signed, key, Buffer.from(signature, 'base64url'))) throw new Error('bad signature');
    const claims = decoded(body);
    const now = Date.now() / 1000;
    if (claims.iss !== this.issuer) throw new Error('wrong issuer');
    if (claims.aud !== this.audience) throw new Error('wrong audience');
    if (!(claims.exp > now - LEEWAY)) throw new Error('expired');
    if (!(claims.iat <= now + LEEWAY)) throw new Error('issued in the future');
    return claims;
  }

  // A key that is not known is looked for once more: the gateway may have a new one.
  async key(kid) {
    if (!this.keys.has(kid)) {
      const response = await fetch(this.keysUrl, { signal: AbortSignal.timeout(5000) });
      if (!response.ok) throw new Error(`no keys: ${response.status}`);
      this.keys = new Map((await response.json()).keys.map((jwk) => [jwk.kid, jwk]));
    }
    const jwk = this.keys.get(kid);
    if (!jwk) throw new Error('unknown key');
    return jwk;
  }
}

const decoded = (part) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));

// By hand: node verify.mjs ISSUER AUDIENCE [KEYS_URL], assertions on standard input, one a line.
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const verifier = new Verifier(...process.argv.slice(2, 5));
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      console.log(JSON.stringify(await verifier.verify(line.trim())));
    } catch (error) {
      console.log(`refused: ${error.message}`);
    }
  }
}
