// How a visitor comes to each page of the gateway's own that the demo can show, by the section of its texts.

import { approve, post, signIn, statusAfter } from './chromium.mjs';

/** Signs in and presses a button that is no approval. */
const refusal = (button) => async (page) => {
  await page.goto('/');
  await statusAfter(page, () => page.getByRole('button', { name: button }).click());
};

/** Signs in while the provider has a fault; the fault is gone afterwards. */
const fault = (name, target) => async (page) => {
  await page.goto(target);
  const provider = new URL(page.url()).origin;
  const turn = (on) => page.request.post(`${provider}/sim/fault?name=${name}&on=${on}`);
  await turn(1);
  try {
    await statusAfter(page, () => approve(page));
  } finally {
    await turn(0);
  }
};

const plain = (target) => (page) => page.goto(target);

export const OWN_PAGES = {
  choice: plain('/either/'),
  rejected: refusal('Cancel'),
  'no-answer': refusal('Let it time out'),
  'wrong-number': refusal('Pick the wrong number'),
  'sim-needed': refusal('Phone has no SIM'),
  'provider-unavailable': refusal('Provider is out of order'),
  'provider-bad-answer': fault('wrong-nonce', '/'),
  'too-weak': fault('weaker-acr', '/payroll/'),
  'serial-mismatch': async (page) => {
    await page.goto('/archive/');
    await approve(page);
    await page.getByText('mid_al4_any').waitFor();
    await statusAfter(page, () => page.getByRole('button', { name: 'Approve as Aline Rochat' }).click());
  },
  'begin-login': async (page, { origin }) => {
    await signIn(page, '/');
    // Another site leads here: what the person did there rings no phone yet.
    await page.goto(origin.replace('localhost', '127.0.0.1'));
    await page.evaluate((to) => { location.href = to; }, `${origin}/archive/`);
    await page.waitForURL(`${origin}/**`);
  },
  'login-stale': plain('/.midgate/callback?code=code&state=state'),
  'signed-out-form': async (page) => {
    await page.goto('/public/');
    await statusAfter(page, () => post(page, '/order/send'));
  },
  'not-found': plain('/.midgate/nothing'),
  'method-not-allowed': async (page) => {
    await page.goto('/public/');
    await statusAfter(page, () => post(page, '/.midgate/session'));
  },
  'unknown-host': (page, { origin }) => page.goto(origin.replace('localhost', '127.0.0.1')),
  'bad-request': plain('/.midgate/callback'),
  'logout-refused': async (page, { origin }) => {
    await page.goto('/');
    await statusAfter(page, () => post(page, `${origin}/.midgate/logout`));
  },
  repost: async (page) => {
    await page.goto('/idemia/');
    await approve(page);
    await statusAfter(page, () => page.getByRole('button', { name: 'Continue' }).click());
  },
  session: async (page) => {
    await signIn(page, '/');
    await page.goto('/.midgate/session');
  },
  'confirm-logout': async (page) => {
    await signIn(page, '/idemia/');
    await page.goto('/.midgate/logout');
  },
  'signed-out-here': plain('/.midgate/logged-out'),
};
