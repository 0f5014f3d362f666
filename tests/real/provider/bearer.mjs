// Access tokens that the certified provider gives to a machine, as JWT by resource indicator (RFC 8707, RFC 9068).

import assert from 'node:assert/strict';
import { afterEach, describe } from 'node:test';

import { named, running, send, signedIn, stopAll, story, until } from '../rig.mjs';

const API = 'https://api.test/orders';
const client = { grant_types: ['authorization_code', 'client_credentials'] };
const offers = { resources: { [API]: 'read write', 'https://api.test/other': 'read' } };

// A gateway that takes sessions and tokens of the same provider.
async function both(life = 60) {
  const all = await running({
    client,
    offers,
    routes: (up) => `[[route]]\nupstream = "${up}"\n[[route]]\npath = "/api/"\nupstream = "${up}"\nbearer = ["batch"]\n`,
    bearer: (issuer) => `
[[bearer]]
id = "batch"
issuer = "${issuer}"
audience = "${API}"
scopes = ["read"]
[bearer.claims]
name = "client_id"
`,
  });
  all.provider.accessTokenLife = life;
  return all;
}

function show({ gateway }, target, token) {
  return send({ port: gateway.port, target, headers: { Authorization: `Bearer ${token}` } });
}

describe('a machine', () => {
  afterEach(stopAll);

  story('comes in with its token, and people go on with their sessions', async () => {
    const all = await both();
    const token = await all.provider.machineToken(API, 'read write');
    const seen = await show(all, '/api/orders', token);
    assert.equal(seen.status, 200, seen.text);
    assert.deepEqual(named(seen.json, 'X-Auth-Provider'), ['batch']);
    assert.deepEqual(named(seen.json, 'X-Auth-Name'), ['us']);
    assert.deepEqual(named(seen.json, 'X-Auth-Acr'), []);
    const elsewhere = await show(all, '/page', token);
    assert.deepEqual([elsewhere.status, elsewhere.json.error], [401, 'login_required']);
    const browser = await signedIn(all.gateway);
    assert.deepEqual(named((await browser.fetch('/api/orders')).json, 'X-Auth-Provider'), ['op']);
    assert.deepEqual(all.provider.trouble, []);
  });

  story('is refused without the scope, for another resource, and when its token has ended', async () => {
    const all = await both(2);
    const weak = await show(all, '/api/orders', await all.provider.machineToken(API, 'write'));
    assert.deepEqual([weak.status, weak.json.error], [403, 'insufficient_scope']);
    const other = await show(all, '/api/orders', await all.provider.machineToken('https://api.test/other', 'read'));
    assert.deepEqual([other.status, other.json.reason], [401, 'wrong-audience']);
    const token = await all.provider.machineToken(API, 'read');
    assert.equal((await show(all, '/api/orders', token)).status, 200);
    await until('it has ended', async () => (await show(all, '/api/orders', token)).status === 401);
    const ended = await show(all, '/api/orders', token);
    assert.deepEqual([ended.json.error, ended.json.reason], ['invalid_token', 'expired']);
  });

  story('goes on over new keys of its issuer', async () => {
    const all = await both();
    assert.equal((await show(all, '/api/orders', await all.provider.machineToken(API, 'read'))).status, 200);
    all.provider.rotate();
    const { jwks } = all.provider.calls;
    const after = await show(all, '/api/orders', await all.provider.machineToken(API, 'read'));
    assert.equal(after.status, 200, after.text);
    assert.equal(all.provider.calls.jwks, jwks + 1);
  });
});
