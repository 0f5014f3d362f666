// The certified OpenID provider (npm oidc-provider) on another site than the gateway: 127.0.0.1, not localhost.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import Provider, { interactionPolicy } from 'oidc-provider';

import { send } from './http.mjs';
import { atEnd, tells } from './process.mjs';

const PERSON = { name: 'Zoë Müller-François', given_name: 'Zoë', family_name: 'Müller-François' };
const EVENTS = [
  'server_error',
  'authorization.error',
  'grant.error',
  'userinfo.error',
  'pushed_authorization_request.error',
  'backchannel.error',
];
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const ENDPOINTS = {
  '/auth': 'authorization',
  '/token': 'token',
  '/me': 'userinfo',
  '/jwks': 'jwks',
  '/request': 'pushed',
};

export class Certified {
  // Starts a provider that knows one client, the gateway at `url`; what `client` adds may be made of that address, and
  // `offers` switches features on.
  static async start(url, client = {}, offers = {}) {
    const certified = new Certified();
    certified.offers = offers;
    certified.client = {
      client_id: 'us',
      client_secret: 'SECRET_zz',
      redirect_uris: [`${url}/.midgate/callback`],
      token_endpoint_auth_method: 'client_secret_basic',
      ...(typeof client === 'function' ? client(url) : client),
    };
    certified.calls = { authorization: 0, token: 0, userinfo: 0, jwks: 0, pushed: 0 };
    // The parameters of every authorization request, the oldest first, pushed or not.
    certified.asked = [];
    // The names of the parameters that browsers brought along, the oldest first.
    certified.carried = [];
    // What the person at the provider does: the result of a login, made of the request's parameters.
    certified.person = (asked) => ({ acr: asked.acr_values || 'low', amr: ['pwd'] });
    // Seconds that access tokens live from now on.
    certified.accessTokenLife = 60;
    // Endpoints that take a request and never answer.
    certified.silent = new Set();
    certified.storage = new Map();
    certified.trouble = [];
    tells('provider', () => certified.trouble.join('\n'));
    certified.server = createServer((request, response) => certified.answer(request, response));
    await certified.listen(0);
    certified.port = certified.server.address().port;
    certified.issuer = `http://127.0.0.1:${certified.port}`;
    certified.rotate();
    atEnd(() => certified.stop());
    return certified;
  }

  listen(port) {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject).listen(port, '127.0.0.1', resolve);
    });
  }

  // Refuses connections from now on.
  async stop() {
    if (!this.server.listening) return;
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  startAgain() {
    return this.listen(this.port);
  }

  // Signs with new keys from now on and forgets the old ones; clients, codes and sessions stay.
  rotate() {
    const pairs = [
      generateKeyPairSync('rsa', { modulusLength: 2048 }),
      generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      generateKeyPairSync('ed25519'),
    ];
    const keys = pairs.map(({ privateKey }) => privateKey.export({ format: 'jwk' }));
    this.provider = new Provider(this.issuer, this.settings(keys.map((key) => ({ ...key, kid: randomUUID() }))));
    for (const event of EVENTS) {
      this.provider.on(event, (_, error) => this.trouble.push(`${event}: ${error.stack} ${error.error_description}`));
    }
    this.provider.use(async (ctx, next) => {
      await next();
      if (ctx.oidc?.route !== 'authorization') return;
      this.asked.push({ ...ctx.oidc.params?.toPlainObject() });
      this.carried.push(Object.keys(ctx.query).sort());
    });
    this.handler = this.provider.callback();
  }

  // A token that the client gets as itself, for a resource.
  async machineToken(resource, scope) {
    const body = new URLSearchParams({ grant_type: 'client_credentials', resource, scope }).toString();
    const { client_id: id, client_secret: secret } = this.client;
    const headers = {
      'Content-Type': 'application/x-www-form-urlencoded',
      Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
    };
    const host = `127.0.0.1:${this.port}`;
    const answer = await send({ port: this.port, host, method: 'POST', target: '/token', headers, body });
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
    return answer.json.access_token;
  }

  // Takes back what everybody agreed to: no refresh token is good any more.
  revoke() {
    for (const key of this.storage.keys()) if (key.startsWith('Grant ')) this.storage.delete(key);
  }

  settings(keys) {
    const { storage } = this;
    const policy = interactionPolicy.base();
    policy.get('login').checks.add(new interactionPolicy.Check('level', 'another level is asked for', wantsMore));
    return {
      adapter: class extends Kept {
        constructor(model) {
          super(model, storage);
        }
      },
      clients: [this.client],
      jwks: { keys },
      cookies: { keys: ['a key for the provider’s own cookies'] },
      // Seconds; a code lives as short as Mobile ID's.
      ttl: {
        AuthorizationCode: 10,
        AccessToken: () => this.accessTokenLife,
        ClientCredentials: () => this.accessTokenLife,
        IdToken: 60,
        Interaction: 60,
        RefreshToken: 3600,
        Grant: 3600,
        Session: 3600,
      },
      // Each is good once, whatever the scope says.
      issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
      rotateRefreshToken: true,
      acrValues: ['low', 'high'],
      enabledJWA: {
        idTokenSigningAlgValues: ALGORITHMS,
        userinfoSigningAlgValues: ALGORITHMS,
        clientAuthSigningAlgValues: ALGORITHMS,
      },
      claims: { profile: Object.keys(PERSON) },
      findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub, ...PERSON }) }),
      loadExistingGrant: consent,
      interactions: { policy, url: (ctx, interaction) => `/interaction/${interaction.uid}` },
      features: {
        devInteractions: { enabled: false },
        // As Mobile ID, unless the client has an address to come back to: no end-session endpoint is known of it.
        rpInitiatedLogout: { enabled: this.client.post_logout_redirect_uris !== undefined },
        backchannelLogout: { enabled: this.client.backchannel_logout_uri !== undefined },
        jwtUserinfo: { enabled: true },
        // JWT access tokens (RFC 9068) for the resources that a story offers: their addresses and scopes.
        clientCredentials: { enabled: this.offers.resources !== undefined },
        resourceIndicators: {
          enabled: this.offers.resources !== undefined,
          getResourceServerInfo: (ctx, resource) => ({
            scope: this.offers.resources[resource],
            audience: resource,
            accessTokenFormat: 'jwt',
            accessTokenTTL: this.accessTokenLife,
          }),
        },
        pushedAuthorizationRequests: {
          enabled: Boolean(this.offers.par),
          requirePushedAuthorizationRequests: this.offers.par === 'only',
        },
      },
    };
  }

  answer(request, response) {
    const { pathname } = new URL(request.url, this.issuer);
    const endpoint = ENDPOINTS[pathname];
    if (endpoint) this.calls[endpoint] += 1;
    if (this.silent.has(endpoint)) return;
    if (pathname.startsWith('/interaction/')) this.interact(request, response);
    else this.handler(request, response);
  }

  // The person signs in, or does not, without a page of the provider's between.
  async interact(request, response) {
    try {
      const { params } = await this.provider.interactionDetails(request, response);
      const done = this.person(params);
      const result = done.error ? done : { login: { accountId: 'zoe', ...done } };
      await this.provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    } catch (error) {
      this.trouble.push(error.stack);
      response.writeHead(500).end(String(error));
    }
  }
}

// A session at the provider is not enough when another level is asked for; what a login gave is.
function wantsMore(ctx) {
  const { acr_values: wanted } = ctx.oidc.params;
  const isAnswered = !wanted || ctx.oidc.result?.login || wanted.split(' ').includes(ctx.oidc.session.acr);
  return isAnswered ? interactionPolicy.Check.NO_NEED_TO_PROMPT : interactionPolicy.Check.REQUEST_PROMPT;
}

// The person has agreed once and for all.
async function consent(ctx) {
  const { Grant } = ctx.oidc.provider;
  const known = ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
  const found = known && (await Grant.find(known));
  if (found) return found;
  const grant = new Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
  grant.addOIDCScope('openid profile');
  await grant.save();
  return grant;
}

// What the provider remembers, in a map that outlives its keys.
class Kept {
  constructor(model, storage) {
    Object.assign(this, { model, storage });
  }

  key(id) {
    return `${this.model} ${id}`;
  }

  async upsert(id, payload) {
    this.storage.set(this.key(id), payload);
  }

  async find(id) {
    return this.storage.get(this.key(id));
  }

  async findByUid(uid) {
    return [...this.storage.entries()].find(([key, kept]) => key.startsWith(`${this.model} `) && kept.uid === uid)?.[1];
  }

  async consume(id) {
    (await this.find(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    this.storage.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, kept] of this.storage) if (kept.grantId === grantId) this.storage.delete(key);
  }
}
