// The files of deploy/, as far as they can be tried without root, a container engine and a cluster: each configuration
// loads, each file is what its format says, and nothing but the gateway reaches an application.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import dockerfile from 'dockerfile-utils';

import { documents, faults } from './manifests.mjs';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');
const midgate = path.resolve(process.env.MIDGATE_BIN ?? path.join(root, 'target/debug/midgate'));
const folder = mkdtempSync(path.join(tmpdir(), 'midgate-deploy-'));
after(() => rmSync(folder, { recursive: true }));

/** The longest drain in seconds: one of notice and thirty for the requests under way (src/gateway/shutdown.rs). */
const DRAIN = 31;

const at = (name) => path.join(root, 'deploy', name);
const read = (name) => readFileSync(at(name), 'utf8');

function run(program, args, environment = {}) {
  // Of this process's own environment only where programs are: a MIDGATE__ variable would count.
  const env = { PATH: process.env.PATH, LC_ALL: 'C', ...environment };
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', env });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** Why a test that needs a program is skipped; false when it is not. */
function missing(program, oldest = 0) {
  const { error, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  if (error) return `${program} is not installed`;
  const [version] = /\d+/.exec(stdout) ?? [0];
  return Number(version) < oldest ? `${program} is of version ${version}, and ${oldest} is needed` : false;
}

const embedded = (name) => documents(at(name)).find(({ kind }) => kind === 'ConfigMap').data['gateway.toml'];

/** Each configuration and what it is warned of. */
const CONFIGURATIONS = new Map([
  ['systemd/gateway.toml', { text: read('systemd/gateway.toml'), warnings: [] }],
  // An internal network of this machine lies between gateway and application.
  ['compose.gateway.toml', { text: read('compose.gateway.toml'), warnings: ['plain-upstream'] }],
  // TLS ends in the proxy that asks, on this machine.
  ...['nginx', 'caddy', 'traefik', 'envoy'].map((name) => `examples/${name}/gateway.toml`)
    // Everybody may enter at two of their routes.
    .map((name) => [name, { text: read(name), warnings: ['open-to-everyone'] }]),
  // TLS ends in front, and a policy lets only that in.
  ['kubernetes/sidecar.yaml', { text: embedded('kubernetes/sidecar.yaml'), warnings: ['plain-listener'] }],
  ['kubernetes/edge.yaml', { text: embedded('kubernetes/edge.yaml'), warnings: ['plain-listener', 'plain-upstream'] }],
]);

describe('configurations', () => {
  function check(text, expected) {
    const file = path.join(folder, 'gateway.toml');
    writeFileSync(file, text);
    // Secrets and keys are elsewhere: the environment stands in for them.
    const { status, stdout, stderr } = run(midgate, ['check', '--json', '--config', file], {
      MIDGATE__PROVIDER__MOBILEID__CLIENT_SECRET: 'stands in for the real one',
      MIDGATE__SESSION__KEYS_FILE: path.join(folder, 'keys'),
    });
    assert.notEqual(stdout, '', stderr);
    const { problems, warnings, redirect_uris: redirects } = JSON.parse(stdout);
    assert.deepEqual([problems, status, redirects.length], [[], 0, 1]);
    // Who may enter is for the operator to say; everything else that is warned of is meant.
    const names = warnings.map(({ name }) => name).sort();
    assert.deepEqual(names, ['open-to-everyone', ...expected].sort());
  }

  it('all of them are known here', () => {
    const found = readdirSync(path.join(root, 'deploy'), { recursive: true }).map(String)
      .filter((name) => /\.(toml|ya?ml|conf)$/.test(name) && read(name).includes('[[route]]'));
    assert.deepEqual(found.sort(), [...CONFIGURATIONS.keys()].sort());
  });

  for (const [name, { text, warnings }] of CONFIGURATIONS) {
    it(`${name} passes midgate check`, () => check(text, warnings));
    it(`${name} holds no secret`, () => {
      assert.doesNotMatch(text, /^[\s#]*(client_secret|admin_token|store_password)\s*=/m);
    });
  }

  it('systemd/gateway.toml passes as port-443.conf needs it', { skip: missing('openssl') }, () => {
    const [certificate, key] = ['certificate.pem', 'key.pem'].map((name) => path.join(folder, name));
    const request = ['req', '-x509', '-nodes', '-newkey', 'rsa:2048', '-days', '1', '-subj', '/CN=app.example.ch'];
    assert.equal(run('openssl', [...request, '-keyout', key, '-out', certificate]).status, 0);
    const text = read('systemd/gateway.toml')
      .replace(/^(address|trusted_proxies) = .*$/gm, '')
      .replace(/^# (?=(address|tls) = )/gm, '')
      .replace(/"\/etc\/ssl\/certs\/.*?"/, JSON.stringify(certificate))
      .replace(/"\/etc\/ssl\/private\/.*?"/, JSON.stringify(key));
    assert.match(text, /^address = \["\[::\]:443"\]/m);
    assert.ok(text.includes(`tls = { cert_file = ${JSON.stringify(certificate)}`));
    check(text, []);
  });
});

describe('systemd', () => {
  // `security --offline` came with 250.
  const skip = missing('systemd-analyze', 250);
  const unit = read('systemd/midgate.service');
  const values = (key) => [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value);

  /** The unit in a folder of its own, running the program under test. */
  function installed(name, dropIns) {
    const into = path.join(folder, name);
    mkdirSync(path.join(into, 'midgate.service.d'), { recursive: true });
    writeFileSync(path.join(into, 'midgate.service'), unit.replaceAll('/usr/local/bin/midgate', midgate));
    for (const dropIn of dropIns) copyFileSync(at(`systemd/${dropIn}`), path.join(into, 'midgate.service.d', dropIn));
    return path.join(into, 'midgate.service');
  }

  // Measured with systemd 252: 1.2, and 1.6 with the capability; other versions may weigh a little differently.
  for (const [name, dropIns, exposure] of [['alone', [], 15], ['with port-443.conf', ['port-443.conf'], 19]]) {
    it(`the unit is valid ${name}`, { skip }, () => {
      const { status, stdout, stderr } = run('systemd-analyze', ['verify', '--man=no', installed(name, dropIns)]);
      assert.deepEqual([status, stdout, stderr], [0, '', '']);
    });
    it(`the unit is exposed no more than ${exposure / 10} ${name}`, { skip }, () => {
      const options = ['--offline=true', `--threshold=${exposure}`, '--no-pager'];
      const { status, stdout, stderr } = run('systemd-analyze', ['security', ...options, installed(name, dropIns)]);
      assert.match(stdout, /Overall exposure level/, stderr);
      assert.equal(status, 0, stdout);
    });
  }

  it('the unit and its configuration speak of the same files', () => {
    const { text } = CONFIGURATIONS.get('systemd/gateway.toml');
    const [credential] = values('LoadCredential')[0].split(':');
    assert.ok(text.includes(`"/run/credentials/midgate.service/${credential}"`));
    assert.ok(text.includes(`"/var/lib/${values('StateDirectory')[0]}/keys"`));
    assert.ok(text.includes(`"unix:/run/${values('RuntimeDirectory')[0]}/admin.sock"`));
    for (const command of [...values('ExecStartPre'), ...values('ExecStart')]) {
      assert.match(command, / --config \/etc\/midgate\/gateway\.toml$/);
    }
  });

  it('a reload asks for nothing that only the commands of the start are given', () => {
    assert.deepEqual(values('ExecReload'), ['/bin/kill -HUP $MAINPID']);
  });

  it('a drain is not cut short, and a wrong configuration is not tried for ever', () => {
    assert.ok(Number(values('TimeoutStopSec')[0]) > DRAIN);
    assert.deepEqual(values('RestartPreventExitStatus'), ['2']);
    assert.equal(values('StartLimitBurst').length, 1);
  });
});

describe('container', () => {
  const text = read('Dockerfile');
  const all = text.replace(/^\s*#.*\n/gm, '').replace(/\\\n/g, ' ').split('\n').filter(Boolean)
    .map((line) => /^(\S+)\s+(.*)$/.exec(line)).map(([, name, rest]) => [name, rest.replace(/\s+/g, ' ')]);
  const final = all.slice(all.map(([name]) => name).lastIndexOf('FROM'));
  const only = (name, instructions) => instructions.filter(([other]) => other === name).map(([, rest]) => rest);

  it('the Dockerfile is valid', () => {
    const found = dockerfile.validate(text).map(({ message, range }) => `line ${range.start.line + 1}: ${message}`);
    assert.deepEqual(found, []);
  });

  it('the build keeps to the lock file and leaves the demo out', () => {
    const builds = only('RUN', all).filter((command) => command.includes('cargo build'));
    assert.equal(builds.length, 1);
    assert.match(builds[0], /cargo build --locked --release --no-default-features /);
  });

  it('the image runs as a user that Kubernetes can tell from root', () => {
    assert.deepEqual(only('USER', final), ['65532:65532']);
  });

  it('the image asks itself for its health and needs no shell', () => {
    for (const name of ['ENTRYPOINT', 'CMD', 'HEALTHCHECK']) {
      const [rest] = only(name, final);
      assert.ok(Array.isArray(JSON.parse(rest.slice(rest.indexOf('[')))), name);
    }
    assert.match(only('HEALTHCHECK', final)[0], /"\/usr\/bin\/midgate", "health"/);
    assert.deepEqual(only('RUN', final), []);
    assert.deepEqual(only('STOPSIGNAL', final), ['SIGTERM']);
  });

  it('nothing but the sources gets in: no address, no argument, no secret', () => {
    assert.deepEqual(['ADD', 'ARG', 'ENV'].flatMap((name) => only(name, all)), []);
    const sources = ['Cargo.toml', 'Cargo.lock', 'src'];
    assert.ok(sources.every((name) => existsSync(path.join(root, name))));
    const copied = only('COPY', all).filter((rest) => !rest.startsWith('--from'));
    assert.deepEqual(copied, ['Cargo.toml Cargo.lock ./', 'src ./src']);
    const rules = read('Dockerfile.dockerignore').split('\n').filter((line) => line && !line.startsWith('#'));
    assert.deepEqual(rules, ['*', ...sources.map((name) => `!${name}`)]);
  });
});

describe('compose', () => {
  const [compose] = documents(at('compose.yaml'));
  const { midgate: gateway, app } = compose.services;

  it('the application publishes nothing and is on the internal network alone', () => {
    assert.deepEqual([app.ports, app.network_mode, app.networks], [undefined, undefined, ['inside']]);
    assert.equal(compose.networks.inside.internal, true);
    assert.deepEqual(Object.keys(compose.services), ['midgate', 'app']);
  });

  it('neither container can do more than it needs', () => {
    for (const service of [gateway, app]) {
      const { read_only: readOnly, cap_drop: drop, security_opt: options, privileged } = service;
      assert.deepEqual([readOnly, drop, options, privileged], [true, ['ALL'], ['no-new-privileges:true'], undefined]);
    }
    for (const port of gateway.ports) assert.match(port, /^127\.0\.0\.1:/);
  });

  it('secret and configuration are files, and the configuration names what is there', () => {
    const { text } = CONFIGURATIONS.get(path.basename(compose.configs.gateway.file));
    assert.deepEqual(gateway.configs, [{ source: 'gateway', target: '/etc/midgate/gateway.toml' }]);
    assert.deepEqual([gateway.environment, Object.keys(compose.secrets.mobileid)], [undefined, ['file']]);
    assert.ok(text.includes(`"/run/secrets/${gateway.secrets[0]}"`));
    assert.ok(text.includes(`"http://app:${app.command[1]}"`));
    assert.ok(parseInt(gateway.stop_grace_period, 10) > DRAIN);
  });
});

describe('schemas of Kubernetes', () => {
  const service = (port) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' }, spec: { ports: [port] } });

  for (const [what, port, found] of [
    ['take what is right', { port: 80 }, []],
    ['see a wrong type', { port: '80' }, ['/spec/ports/0/port must be integer']],
    ['see a missing name', {}, ['/spec/ports/0 must have required property port']],
    ['see an unknown name', { port: 80, nam: 'x' }, ['/spec/ports/0/nam is unknown']],
  ]) {
    it(what, async () => assert.deepEqual(await faults(service(port)), found));
  }
});

for (const name of ['kubernetes/sidecar.yaml', 'kubernetes/edge.yaml']) {
  describe(name, () => {
    const manifests = documents(at(name));
    const kinds = (kind) => manifests.filter((manifest) => manifest.kind === kind);
    const pods = kinds('Deployment').map(({ metadata: { namespace }, spec: { template, ...deployment } }) => {
      const containers = [...(template.spec.initContainers ?? []), ...template.spec.containers];
      return { namespace, deployment, containers, labels: template.metadata.labels, spec: template.spec };
    });
    const isGateway = (container) => container.name === 'midgate';
    const ours = pods.find(({ containers }) => containers.some(isGateway));
    const gateway = ours.containers.find(isGateway);
    const { text } = CONFIGURATIONS.get(name);
    const selects = (labels, pod) => Object.entries(labels).every(([key, value]) => pod.labels[key] === value);

    for (const manifest of manifests) {
      const { namespace, name: called } = manifest.metadata;
      it(`${manifest.kind} ${namespace}/${called} fits its schema`, async () => {
        assert.deepEqual(await faults(manifest), []);
      });
    }

    it('no secret is in it', () => assert.deepEqual(kinds('Secret'), []));

    // Pod Security Standards, "Restricted".
    it('every container keeps to the restricted profile', () => {
      for (const { spec, containers } of pods) {
        const { runAsNonRoot, seccompProfile } = spec.securityContext;
        assert.deepEqual([runAsNonRoot, seccompProfile.type], [true, 'RuntimeDefault']);
        assert.ok(!spec.hostNetwork && !spec.hostPID && !spec.hostIPC && !spec.automountServiceAccountToken);
        assert.ok((spec.volumes ?? []).every((volume) => volume.configMap || volume.secret));
        for (const { securityContext, resources, ports = [] } of containers) {
          assert.deepEqual(securityContext, {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          });
          assert.ok(resources.requests.cpu && resources.limits.memory);
          assert.ok(ports.every((port) => port.hostPort === undefined));
        }
      }
    });

    it('there is one gateway at a time, and it is given the time to drain', () => {
      assert.deepEqual([ours.deployment.replicas, ours.deployment.strategy.type], [1, 'Recreate']);
      const sleeps = ours.containers.map(({ lifecycle }) => lifecycle?.preStop.sleep.seconds ?? 0);
      assert.ok(ours.spec.terminationGracePeriodSeconds > Math.max(...sleeps) + DRAIN);
    });

    it('the gateway is asked for its health where the kubelet reaches it', () => {
      assert.deepEqual(gateway.livenessProbe.httpGet, { path: '/livez', port: 'health' });
      assert.deepEqual(gateway.readinessProbe.httpGet, { path: '/readyz', port: 'health' });
      assert.deepEqual(gateway.ports, [{ name: 'http', containerPort: 8080 }, { name: 'health', containerPort: 9080 }]);
      assert.ok(text.includes('address = ["0.0.0.0:8080"]') && text.includes('health = "0.0.0.0:9080"'));
    });

    it('the gateway finds its configuration and its secrets', () => {
      const mounts = new Map(gateway.volumeMounts.map((mount) => [mount.name, mount.mountPath]));
      const config = ours.spec.volumes.find((volume) => volume.configMap);
      assert.equal(config.configMap.name, kinds('ConfigMap')[0].metadata.name);
      assert.equal(mounts.get(config.name), '/etc/midgate');
      const secrets = ours.spec.volumes.find((volume) => volume.secret);
      assert.equal(secrets.secret.defaultMode, 0o440);
      assert.ok(text.includes(`client_secret_file = "${mounts.get(secrets.name)}/client-secret"`));
      assert.ok(text.includes(`keys_file = "${mounts.get(secrets.name)}/session-keys"`));
    });

    it('browsers reach the gateway, by its one port', () => {
      const [service] = kinds('Service').filter(({ metadata }) => metadata.namespace === ours.namespace);
      assert.deepEqual(service.spec.ports, [{ name: 'http', port: 80, targetPort: 'http' }]);
      assert.ok(selects(service.spec.selector, ours));
      assert.deepEqual(ours.containers.flatMap(({ ports = [] }) => ports), gateway.ports);
      const paths = kinds('Ingress').flatMap(({ spec }) => spec.rules.flatMap((rule) => rule.http.paths));
      assert.ok(paths.every(({ backend }) => backend.service.name === service.metadata.name));
    });

    it('a policy of each pod opens the gateway to what is in front, and an application to the gateway alone', () => {
      for (const pod of pods) {
        const policies = kinds('NetworkPolicy').filter(({ metadata }) => metadata.namespace === pod.namespace)
          .filter(({ spec }) => selects(spec.podSelector.matchLabels, pod));
        assert.equal(policies.length, 1);
        const { policyTypes, ingress } = policies[0].spec;
        assert.deepEqual(policyTypes, ['Ingress']);
        assert.ok(ingress.every(({ from, ports }) => from.length === 1 && ports.length === 1));
        if (pod === ours) {
          assert.deepEqual(ingress.map(({ ports }) => ports[0].port), gateway.ports.map((port) => port.containerPort));
        } else {
          assert.equal(ingress.length, 1);
          const { namespaceSelector, podSelector } = ingress[0].from[0];
          assert.deepEqual(namespaceSelector.matchLabels, { 'kubernetes.io/metadata.name': ours.namespace });
          assert.ok(selects(podSelector.matchLabels, ours));
        }
      }
    });
  });
}
