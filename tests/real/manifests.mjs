// YAML documents, and what the Kubernetes API would have against one.

import { readFileSync } from 'node:fs';

import yaml from 'yaml';

/** The documents of a file; a duplicate name or a doubtful spelling is an error. */
export function documents(file) {
  return yaml.parseAllDocuments(readFileSync(file, 'utf8')).map((document) => {
    const [fault] = [...document.errors, ...document.warnings];
    if (fault) throw fault;
    return document.toJS();
  });
}

/**
 * What the schema of a manifest's kind has against it.
 *
 * The schemas are those of the package kubernetes-models, which pass over names that they do not know; so does the API
 * server unless it is asked for strict validation, and a misspelt `ingress:` would then open or close something
 * silently. Since the validators ask for every name that they know, a name that nobody asked for is unknown.
 */
export async function faults(manifest) {
  const module = await import(`kubernetes-models/${manifest.apiVersion}/${manifest.kind}`);
  const unread = new Set();
  try {
    module[manifest.kind].prototype.validate.call(watched(manifest, unread));
  } catch (error) {
    if (!error.errors) throw error;
    return error.errors.map(({ instancePath, message }) => `${instancePath} ${message}`);
  }
  return [...unread].map((at) => `${at} is unknown`);
}

/** The value, with every name in it noted as unread until somebody reads it. */
function watched(value, unread, at = '') {
  if (typeof value !== 'object' || value === null) return value;
  const below = new Map(Object.entries(value).map(([key, inner]) => [key, watched(inner, unread, `${at}/${key}`)]));
  for (const key of below.keys()) unread.add(`${at}/${key}`);
  return new Proxy(value, {
    get(target, key) {
      unread.delete(`${at}/${String(key)}`);
      return below.get(key) ?? target[key];
    },
  });
}
