// The recipes of deploy/examples/assertion against the real gateway, each in its own language.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';

import { folder, named, send, setting, signedIn, stopAll, story, until } from './rig.mjs';
import { atEnd } from './rig/process.mjs';

const RECIPES = fileURLToPath(new URL('../../deploy/examples/assertion/', import.meta.url));
const HEADER = 'X-Midgate-Jwt-Assertion';
const KEYS = '/.well-known/midgate/jwks.json';
const AUDIENCE = 'https://erp.test';

const runs = (command, ...given) => spawnSync(command, given, { encoding: 'utf8', timeout: 60_000 });
const works = (...all) => runs(...all).status === 0;
const major = (text, pattern) => Number(pattern.exec(text ?? '')?.[1] ?? 0);

// How each recipe is run, or why it is not.
const LANGUAGES = {
  'Node.js': () => [process.execPath, 'verify.mjs'],
  Python: () => {
    // The distribution's own Python has the distribution's modules.
    const python = ['python3', '/usr/bin/python3'].find((name) => works(name, '-c', 'import jwt, cryptography'));
    return python ? [python, 'verify.py'] : 'no python3 with PyJWT and cryptography';
  },
  Go: () => {
    if (major(runs('go', 'version').stdout, /go1\.(\d+)/) < 20) return 'no Go 1.20 or newer';
    const built = path.join(folder(), 'verify');
    const { status, stderr } = spawnSync('go', ['build', '-o', built, 'verify.go'], { cwd: RECIPES, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return [built];
  },
  Java: () => {
    if (major(runs('javac', '--version').stdout, /javac (\d+)/) < 17) return 'no JDK 17 or newer';
    const built = folder();
    const { status, stderr } = spawnSync('javac', ['-d', built, 'Verify.java'], { cwd: RECIPES, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return ['java', '-cp', built, 'Verify'];
  },
};

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const opened = (token, at) => JSON.parse(Buffer.from(token.split('.')[at], 'base64url').toString('utf8'));

// A token by hand; `how` gives the signature of its first two parts.
function made(head, claims, how) {
  const signed = `${encoded(head)}.${encoded(claims)}`;
  return `${signed}.${how(Buffer.from(signed)).toString('base64url')}`;
}

const by = (key) => (bytes) => {
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return sign(digest, bytes, { key, dsaEncoding: 'ieee-p1363' });
};

// One recipe at work, which answers line by line.
class Recipe {
  constructor(command, given) {
    this.process = spawn(command[0], [...command.slice(1), ...given], { cwd: RECIPES, stdio: ['pipe', 'pipe', 'inherit'] });
    atEnd(() => this.process.kill('SIGKILL'));
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  async says(token) {
    this.process.stdin.write(`${token}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error('the recipe has ended');
    return value;
  }

  async accepts(token) {
    const line = await this.says(token);
    assert.ok(!line.startsWith('refused') && line.includes(opened(token, 1).sub), line);
  }

  async refuses(token, what) {
    assert.match(await this.says(token), /^refused: ./, what);
  }
}

describe('recipes that verify the assertion', () => {
  let all;
  let browser;
  let key;
  let relay;
  // Sets of keys that were fetched, by language.
  const fetched = new Map();

  const assertion = async (target = '/erp/echo') => named((await browser.fetch(target)).json, HEADER)[0];
  const write = (name, { privateKey }) => {
    writeFileSync(all.gateway.file(name), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    return privateKey;
  };
  // Has another key sign, which nobody has seen before.
  async function roll(name, kind, options) {
    key = write(name, generateKeyPairSync(kind, options));
    const file = all.gateway.file('gateway.toml');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/signing_key_files = .*/, `signing_key_files = ["${name}"]`));
    const { kid } = opened(await assertion(), 0);
    all.gateway.child.signal('SIGHUP');
    await until('the new key signs', async () => opened(await assertion(), 0).kid !== kid);
  }

  before(async () => {
    const routes = (up) => `
[[route]]
upstream = "${up}"
[[route]]
path = "/erp/"
upstream = "${up}"
audience = "${AUDIENCE}"
[assertion]
signing_key_files = ["first.pem"]
`;
    all = await setting({ routes });
    key = write('first.pem', generateKeyPairSync('ec', { namedCurve: 'P-256' }));
    await all.start();
    browser = await signedIn(all.gateway);
    relay = createServer(async (request, response) => {
      fetched.set(request.url, (fetched.get(request.url) ?? 0) + 1);
      const answer = await send({ port: all.gateway.port, target: KEYS });
      response.writeHead(answer.status, { 'Content-Type': answer.header('content-type') }).end(answer.body);
    });
    await new Promise((resolve) => relay.listen(0, '127.0.0.1', resolve));
    atEnd(() => new Promise((resolve) => {
      relay.close(resolve);
      relay.closeAllConnections();
    }));
  });
  after(stopAll);

  for (const [language, command] of Object.entries(LANGUAGES)) {
    const found = command();
    describe(language, { skip: typeof found === 'string' ? found : false }, () => {
      let recipe;
      const count = () => fetched.get(`/${language}`) ?? 0;

      before(() => {
        const keys = `http://127.0.0.1:${relay.address().port}/${language}`;
        recipe = new Recipe(found, [all.gateway.url, AUDIENCE, keys]);
      });

      story('accepts what the gateway says, and fetches the keys once', async () => {
        await recipe.accepts(await assertion());
        await recipe.accepts(await assertion());
        assert.equal(count(), 1);
      });

      story('refuses what was said to another application, by another gateway, or too long ago', async () => {
        await recipe.refuses(await assertion('/echo'), 'the audience of another route');
        const good = await assertion();
        const [head, claims] = [0, 1].map((at) => opened(good, at));
        for (const [what, change] of Object.entries({
          'another audience': { aud: 'https://other.test' },
          'a list of audiences of others': { aud: ['https://other.test', 'https://third.test'] },
          'no audience': { aud: undefined },
          'another issuer': { iss: 'http://other.test' },
          'no issuer': { iss: undefined },
          'expired': { exp: claims.iat - 60 },
          'no expiry': { exp: undefined },
          'an expiry that is no time': { exp: 'never' },
          'from the future': { iat: claims.iat + 600 },
        })) {
          await recipe.refuses(made(head, { ...claims, ...change }, by(key)), what);
        }
        // The same hand with nothing changed is believed, so that it is the change that was refused.
        await recipe.accepts(made(head, claims, by(key)));
      });

      story('refuses what the key did not sign as it stands', async () => {
        const good = await assertion();
        const [head, claims] = [0, 1].map((at) => opened(good, at));
        const [first, second, third] = good.split('.');
        const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
        const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
        const published = (await send({ port: all.gateway.port, target: KEYS })).text;
        const hmac = (bytes) => createHmac('sha256', published).update(bytes).digest();
        const tampered = encoded({ ...claims, sub: 'mallory' });
        for (const [what, token] of Object.entries({
          'tampered': `${first}.${tampered}.${third}`,
          'another key under the known name': made(head, claims, by(foreign)),
          'no signature': `${first}.${second}.`,
          'alg none': `${encoded({ ...head, alg: 'none' })}.${second}.`,
          'alg none with the signature': `${encoded({ ...head, alg: 'none' })}.${second}.${third}`,
          'HMAC with what is public': made({ ...head, alg: 'HS256' }, claims, hmac),
          'another algorithm': made({ ...head, alg: 'RS256' }, claims, by(rsa)),
          'another type': made({ ...head, typ: 'JWT' }, claims, by(key)),
          'a critical header': made({ ...head, crit: ['x'], x: 1 }, claims, by(key)),
          'two parts': `${first}.${second}`,
          'four parts': `${good}.${third}`,
          'junk': 'junk',
          'nothing': '',
        })) {
          await recipe.refuses(token, what);
        }
      });

      story('looks for a key that it does not know once more, and refuses then', async () => {
        const good = await assertion();
        const [head, claims] = [0, 1].map((at) => opened(good, at));
        const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
        const seen = count();
        await recipe.refuses(made({ ...head, kid: 'unknown' }, claims, by(foreign)), 'an instance with other keys');
        assert.equal(count(), seen + 1);
        await recipe.accepts(await assertion());
        assert.equal(count(), seen + 1);
      });

      story('goes on by itself when the gateway signs with a new key, of another kind too', async () => {
        const seen = count();
        await roll(`${language}-1.pem`, 'ed25519', {});
        await recipe.accepts(await assertion());
        await roll(`${language}-2.pem`, 'rsa', { modulusLength: 2048 });
        await recipe.accepts(await assertion());
        assert.equal(count(), seen + 2);
        await roll('first.pem', 'ec', { namedCurve: 'P-256' });
      });
    });
  }
});
