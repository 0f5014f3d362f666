// What the stories share: the real gateway, a browser without a window, the certified provider, an application, nginx.
// Everything started here is stopped by `stopAll`, and by the end of the process at the latest.

import { it } from 'node:test';

import './rig/names.mjs';
import { forget, troubles } from './rig/process.mjs';

export { Application } from './rig/application.mjs';
export { Browser, form, links, policy } from './rig/browser.mjs';
export { Certified } from './rig/certified.mjs';
export { Gateway } from './rig/gateway.mjs';
export { ask, head, send, whole } from './rig/http.mjs';
export { Nginx } from './rig/nginx.mjs';
export { example, outer, program } from './rig/outer.mjs';
export { folder, freePort, stopAll, until } from './rig/process.mjs';
export { LADDER, LOGIN_COOKIE, running, setting, toml } from './rig/setting.mjs';
export { isSignedIn, named, sessionCookie, signedIn } from './rig/setting.mjs';

// Tells one story. When it fails, what the processes logged stands beside the failure.
export function story(fact, tell) {
  it(fact, { timeout: 120_000 }, async () => {
    forget();
    try {
      await tell();
    } catch (error) {
      console.error(`--- ${fact}\n${troubles()}`);
      throw error;
    }
  });
}
