// What travels between gateway and provider: pushed requests, assertions of the client, signed UserInfo.

import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterEach, describe } from 'node:test';

import { Browser, LADDER, isSignedIn, named, running, setting, signedIn, stopAll, story } from '../rig.mjs';

// The public JWK as a provider registers it, with its RFC 7638 thumbprint as id.
function registration(key, alg) {
  const jwk = key.export({ format: 'jwk' });
  const members = { RSA: ['e', 'kty', 'n'], EC: ['crv', 'kty', 'x', 'y'], OKP: ['crv', 'kty', 'x'] }[jwk.kty];
  const kid = createHash('sha256').update(JSON.stringify(jwk, members)).digest('base64url');
  return { ...jwk, kid, alg, use: 'sig' };
}

describe('a pushed authorization request', () => {
  afterEach(stopAll);

  for (const method of ['client_secret_basic', 'client_secret_post']) {
    story(`leaves the browser a reference only, with ${method}`, async () => {
      const client = { token_endpoint_auth_method: method };
      const more = `client_auth = "${method}"\n${LADDER}`;
      const { provider, browser } = await running({ client, offers: { par: 'only' }, more });
      const page = await browser.visit('/deep/page?x=1');
      assert.equal(page.json.target, '/deep/page?x=1');
      assert.deepEqual(provider.carried, [['client_id', 'request_uri']]);
      assert.deepEqual([provider.calls.pushed, provider.calls.authorization], [1, 1]);
      const [asked] = provider.asked;
      assert.deepEqual([asked.response_type, asked.code_challenge_method, asked.acr_values], ['code', 'S256', 'low']);
    });
  }

  story('is sent where it can be, and always or never where the operator says so', async () => {
    for (const [more, offers, status, pushed] of [
      ['', { par: true }, 200, 1],
      ['', {}, 200, 0],
      ['pushed_authorization = "never"\n', { par: true }, 200, 0],
      ['pushed_authorization = "always"\n', { par: true }, 200, 1],
      ['pushed_authorization = "always"\n', {}, 502, 0],
    ]) {
      const { provider, browser } = await running({ offers, more: more + LADDER });
      const page = await browser.visit('/page');
      assert.deepEqual([page.status, provider.calls.pushed], [status, pushed], more);
      if (status !== 200) assert.deepEqual([page.set, provider.calls.authorization], [[], 0]);
    }
  });

  story('that is refused is a page, and neither repeated nor sent in the address', async () => {
    const offers = { par: true };
    const { provider, browser } = await running({ offers });
    provider.client.client_secret = 'another';
    provider.rotate();
    const page = await browser.visit('/page');
    assert.equal(page.status, 502);
    assert.deepEqual(page.set, []);
    assert.deepEqual([provider.calls.pushed, provider.calls.authorization], [1, 0]);
  });
});

describe('a key of the client', () => {
  afterEach(stopAll);
  const kinds = {
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: () => generateKeyPairSync('ed25519'),
  };

  for (const [alg, generate] of Object.entries(kinds)) {
    story(`signs ${alg} assertions that the provider believes, and no other key's`, async () => {
      const pem = generate().privateKey.export({ type: 'pkcs8', format: 'pem' });
      for (const [registered, status] of [
        [createPublicKey(pem), 200],
        [generate().publicKey, 502],
      ]) {
        const client = {
          client_secret: undefined,
          token_endpoint_auth_method: 'private_key_jwt',
          token_endpoint_auth_signing_alg: alg,
          jwks: { keys: [registration(registered, alg)] },
        };
        const more = `client_auth = "private_key_jwt"\nclient_key_file = "client.pem"\n${LADDER}`;
        for (const offers of [{ par: true }, {}]) {
          const { provider, gateway, start } = await setting({ client, offers, more });
          writeFileSync(gateway.file('client.pem'), pem, { mode: 0o600 });
          await start();
          const browser = new Browser(gateway.url);
          assert.equal((await browser.visit('/page')).status, status);
          assert.equal(await isSignedIn(browser), status === 200);
          const proofs = provider.calls.pushed + provider.calls.token;
          assert.equal(proofs, status === 200 && offers.par ? 2 : 1);
        }
      }
    });
  }
});

describe('signed UserInfo', () => {
  afterEach(stopAll);

  for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA']) {
    story(`by ${alg} is believed where the algorithm is configured, and refused elsewhere`, async () => {
      const client = { userinfo_signed_response_alg: alg, id_token_signed_response_alg: alg };
      const { provider, gateway } = await running({ client, more: `id_token_alg = ["${alg}"]\n${LADDER}` });
      const browser = await signedIn(gateway);
      assert.deepEqual(named((await browser.visit('/page')).json, 'X-Auth-Name'), ['Zoë Müller-François']);
      assert.equal(provider.calls.userinfo, 1);
      const other = alg === 'RS256' ? 'ES256' : 'RS256';
      const mixed = { userinfo_signed_response_alg: alg, id_token_signed_response_alg: other };
      const refused = await running({ client: mixed, more: `id_token_alg = ["${other}"]\n${LADDER}` });
      assert.equal((await refused.browser.visit('/page')).status, 502);
      assert.deepEqual([refused.provider.calls.token, refused.provider.calls.userinfo], [1, 1]);
      assert.ok(!(await isSignedIn(refused.browser)));
    });
  }
});
