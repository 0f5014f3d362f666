// The demo, walked through in Chromium as a person would: every click of the tour, and what goes wrong on the phone.
//
// MIDGATE_BIN: the binary, instead of target/debug/midgate. CHROMIUM_BIN: the browser, instead of /usr/bin/chromium.
// MIDGATE_SCREENSHOTS: a folder for pictures of every page, at two widths, in light and in dark.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Demo, TEXTS, Visitor, approve, arrive, launch, look, post, signIn, statusAfter } from './chromium.mjs';
import { OWN_PAGES } from './own-pages.mjs';

const ZOE = 'Zoë Müller-François';
const LANGUAGES = { de: 'de-CH', fr: 'fr-CH', it: 'it-CH', en: 'en-GB' };
/** What can happen on the phone: its button, the page that it leads to, and the provider's trace there. */
const OUTCOMES = [
  { button: 'Cancel', section: 'rejected', status: 403, trace: 'A9W1GLUM' },
  { button: 'Let it time out', section: 'no-answer', status: 403, trace: 'B2X4TTKP' },
  { button: 'Pick the wrong number', section: 'wrong-number', status: 403, trace: 'C7K2WQRN' },
  { button: 'Phone has no SIM', section: 'sim-needed', status: 403, trace: 'D5M8SLVA' },
  { button: 'Provider is out of order', section: 'provider-unavailable', status: 502, trace: 'E1P6OUTG' },
];

let demo;
let browser;

before(async () => {
  demo = await Demo.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

/** A test with a visitor of its own, which also fails on whatever a page complained about on the way. */
function story(name, walk, settings) {
  test(name, async (t) => {
    const visitor = await Visitor.come(browser, demo, settings);
    try {
      await walk(visitor, t);
      assert.deepEqual(visitor.complaints, []);
    } catch (error) {
      t.diagnostic(`at ${visitor.page.url()}: ${visitor.traffic.slice(-8).join(', ')}`);
      throw error;
    } finally {
      await visitor.leave();
    }
  });
}

/** The identity headers that the application shows, names in lower case. */
async function identity(page) {
  const rows = await page.locator('section.id dl div').all();
  const read = async (row) => [await row.locator('dt').innerText(), await row.locator('dd').innerText()];
  const pairs = await Promise.all(rows.map(read));
  return Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]));
}

const levelAsked = (page) => page.locator('dl dd').first().innerText();
const title = (page) => page.locator('h1').innerText();

describe('the tour', () => {
  story('every step leads where the demo says', async ({ page, context, traffic }, t) => {
    let user;

    await t.test('a public page opens without sign-in', async () => {
      await page.goto('/public/');
      assert.equal(await title(page), 'Opening hours');
      assert.deepEqual(await identity(page), {});
      assert.deepEqual(await context.cookies(), []);
      assert.deepEqual(await look(page, '1-public-page'), []);
    });

    await t.test('the counter asks the phone first', async () => {
      await page.getByRole('link', { name: 'Counter' }).click();
      await page.getByRole('heading', { name: 'Mobile ID, simulated' }).waitFor();
      assert.notEqual(new URL(page.url()).origin, demo.origin);
      assert.equal(await levelAsked(page), 'no level in particular');
      assert.deepEqual(await look(page, '2-phone'), []);
    });

    await t.test('the application greets by a name with accents', async () => {
      await approve(page);
      await arrive(page, '/');
      assert.equal(await title(page), `Grüezi, ${ZOE}`);
      const headers = await identity(page);
      user = headers['x-auth-user'];
      assert.match(user, /^[\w-]{43}$/);
      assert.equal(headers['x-auth-name'], ZOE);
      assert.equal(headers['x-auth-provider'], 'mobileid');
      assert.equal(headers['x-auth-acr'], 'mid_al3_any');
      assert.ok(!('x-auth-document-id' in headers), 'Mobile ID knows no document');
      assert.deepEqual(await look(page, '2-headers'), []);
    });

    await t.test('the payroll asks for a higher level and opens at the page asked for', async () => {
      const target = '/payroll/2026/may?name=Zo%C3%AB&year=2026';
      await page.goto(target);
      assert.equal(await levelAsked(page), 'mid_al3_simcard');
      assert.deepEqual(await look(page, '3-phone-higher-level'), []);
      await approve(page);
      await arrive(page, target);
      assert.match(await page.locator('summary').innerText(), /\/payroll\/2026\/may/);
      const headers = await identity(page);
      assert.equal(headers['x-auth-acr'], 'mid_al3_simcard');
      assert.equal(headers['x-auth-user'], user, 'the same person');
      assert.deepEqual(await look(page, '3-payroll'), []);
    });

    await t.test('the higher level is good for the counter too', async () => {
      await page.getByRole('link', { name: 'Counter' }).click();
      await arrive(page, '/');
      assert.equal((await identity(page))['x-auth-acr'], 'mid_al3_simcard');
    });

    await t.test('the register signs in at the other provider, by a form that is posted again', async () => {
      await page.getByRole('link', { name: 'Register' }).click();
      await page.getByRole('heading', { name: 'mID Wallet, simulated' }).waitFor();
      assert.equal(await levelAsked(page), 'loa-2');
      assert.deepEqual(await look(page, '4-wallet'), []);
      traffic.length = 0;
      await approve(page);
      await arrive(page, '/idemia/');
      const callbacks = traffic.filter((line) => line.includes('/callback'));
      assert.deepEqual(callbacks, ['POST /.midgate/callback 200', 'POST /.midgate/callback 303']);
      const headers = await identity(page);
      assert.equal(headers['x-auth-name'], ZOE);
      assert.equal(headers['x-auth-document-id'], 'X1234567');
      assert.equal(headers['x-auth-provider'], 'idemia');
      assert.equal(headers['x-auth-acr'], 'loa-2');
      assert.deepEqual(await look(page, '4-register'), []);
    });

    await t.test('a reload afterwards posts nothing again', async () => {
      traffic.length = 0;
      await page.reload();
      assert.equal(await title(page), `Grüezi, ${ZOE}`);
      assert.deepEqual(traffic, ['GET /idemia/ 200']);
    });

    await t.test('who am I shows the session', async () => {
      await page.getByRole('link', { name: 'Who am I' }).click();
      assert.equal(await title(page), TEXTS.en.session.title);
      const text = await page.locator('main').innerText();
      for (const shown of [ZOE, 'mID (simulated)', 'loa-2', 'X1234567', 'Bahnhofstrasse 1, 8001 Zürich']) {
        assert.ok(text.includes(shown), `${shown} in ${text}`);
      }
      const left = text.match(/\(in .*?\)/g);
      assert.deepEqual(left, ['(in 30 min)', '(in 8 h)'], 'only what is to come says when');
      assert.deepEqual(await look(page, '5-who-am-i'), []);
    });

    await t.test('signing out is confirmed first', async () => {
      await page.goto('/');
      await approve(page);
      await arrive(page, '/');
      await page.getByRole('link', { name: 'Sign out' }).click();
      assert.equal(await title(page), TEXTS.en['confirm-logout'].title);
      assert.deepEqual(await look(page, '6-confirm-sign-out'), []);
      await page.getByRole('link', { name: 'Stay signed in' }).click();
      assert.equal(await title(page), `Grüezi, ${ZOE}`);
    });

    await t.test('after signing out a login is asked for again', async () => {
      await page.getByRole('link', { name: 'Sign out' }).click();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await arrive(page, '/.midgate/logged-out');
      assert.equal(await title(page), TEXTS.en['signed-out-here'].title);
      const left = await context.cookies();
      assert.deepEqual(left.map(({ name }) => name), ['midgate-choice'], 'only where the last sign-in was');
      assert.deepEqual(await look(page, '6-signed-out'), []);
      await page.getByRole('link', { name: 'Sign in again' }).click();
      await approve(page, 'Aline Rochat');
      await arrive(page, '/');
      assert.equal(await title(page), 'Grüezi, Aline Rochat');
    });
  });

  story('an area of both providers lets people choose, by keyboard too, and remembers', async ({ page }) => {
    await page.goto('/either/letters?from=home');
    assert.equal(await title(page), TEXTS.en.choice.title);
    const choices = page.locator('.choices a');
    assert.deepEqual(await choices.allInnerTexts(), ['Mobile ID (simulated)', 'mID (simulated)']);
    assert.deepEqual(await look(page, '7-choice'), []);
    await choices.first().focus();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'mID Wallet, simulated' }).waitFor();
    await approve(page);
    await arrive(page, '/either/letters?from=home');
    assert.equal((await identity(page))['x-auth-provider'], 'idemia');
    await page.goto('/.midgate/login?rd=/either/');
    const again = await choices.allInnerTexts();
    assert.equal(again[0].replace(/\s+/g, ' '), `mID (simulated) ${TEXTS.en.choice.last}`);
    assert.deepEqual(await look(page, '7-choice-remembered'), []);
  });

  story('the archive asks the phone that was enrolled, and no other', async ({ page }) => {
    const target = '/archive/minutes?year=2026';
    await page.goto(target);
    assert.equal(await levelAsked(page), 'mid_al3_any', 'first it must be known who it is');
    await approve(page);
    await page.getByText('mid_al4_any').waitFor();
    assert.deepEqual(await look(page, '8-level-4'), []);
    const got = await statusAfter(page, () => page.getByRole('button', { name: 'Approve as Luca Bernasconi' }).click());
    assert.equal(got, 403);
    assert.equal(await title(page), TEXTS.en['serial-mismatch'].title);
    assert.deepEqual(await look(page, 'error-serial-mismatch'), []);
    await page.getByRole('link', { name: 'Try again' }).click();
    await page.getByText('mid_al4_any').waitFor();
    await approve(page);
    await arrive(page, target);
    assert.equal((await identity(page))['x-auth-acr'], 'mid_al4_any');
    assert.deepEqual(await look(page, '8-archive'), []);
  });

  const noScript = { javaScriptEnabled: false };
  story('the register opens without JavaScript, by the buttons', async ({ page }) => {
    await page.goto('/idemia/');
    await approve(page);
    await page.getByRole('button', { name: 'Continue' }).click();
    await arrive(page, '/.midgate/callback');
    assert.equal(await title(page), TEXTS.en.repost.title);
    assert.deepEqual(await look(page, '4-posted-again'), []);
    await page.getByRole('button', { name: 'Continue' }).click();
    await arrive(page, '/idemia/');
    assert.equal(await title(page), `Grüezi, ${ZOE}`);
  }, noScript);
});

describe('when the phone says no', () => {
  for (const { button, section, status, trace } of OUTCOMES) {
    story(`"${button}" is explained, and another try ends on the page that was wanted`, async ({ page }) => {
      const wanted = `/payroll/?after=${section}`;
      await page.goto(wanted);
      const got = await statusAfter(page, () => page.getByRole('button', { name: button }).click());
      assert.equal(got, status);
      assert.equal(await title(page), TEXTS.en[section].title);
      const support = await page.locator('.support').innerText();
      assert.ok(support.includes(trace), support);
      assert.match(support, new RegExp(`${TEXTS.en.words.request_id}\\s+\\S{8,}`));
      assert.deepEqual(await look(page, `error-${section}`), []);
      await page.getByRole('link', { name: 'Try again' }).click();
      assert.equal(await levelAsked(page), 'mid_al3_simcard');
      await approve(page);
      await arrive(page, wanted);
      assert.equal((await identity(page))['x-auth-name'], ZOE);
    });
  }

  story('a wallet that says no by form_post is explained too', async ({ page }) => {
    await page.goto('/idemia/register');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('heading', { name: TEXTS.en.rejected.title }).waitFor();
    await page.getByRole('link', { name: 'Try again' }).click();
    await approve(page);
    await arrive(page, '/idemia/register');
    assert.equal(await title(page), `Grüezi, ${ZOE}`);
  });

  story('a reloaded error page still leads to a sign-in', async ({ page }) => {
    await page.goto('/');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('heading', { name: TEXTS.en.rejected.title }).waitFor();
    assert.equal(await statusAfter(page, () => page.reload()), 400);
    assert.equal(await title(page), TEXTS.en['login-stale'].title);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await approve(page);
    await arrive(page, '/');
  });
});

describe('a browser in everyday use', () => {
  story('two tabs with logins under way both end well', async ({ page: first, context }) => {
    const second = await context.newPage();
    await first.goto('/payroll/first');
    await second.goto('/second');
    await approve(second);
    await arrive(second, '/second');
    await approve(first);
    await arrive(first, '/payroll/first');
    for (const page of [first, second]) {
      await page.reload();
      assert.equal(await title(page), `Grüezi, ${ZOE}`);
    }
  });

  for (const path of ['/counter', '/idemia/register']) {
    story(`the back button after a login to ${path} does no harm`, async ({ page }) => {
      await page.goto('/public/');
      await signIn(page, path);
      const { 'x-auth-user': user } = await identity(page);
      await page.goBack();
      assert.match(await title(page), /simulated$/);
      await page.goForward();
      assert.equal(await title(page), `Grüezi, ${ZOE}`);

      // The phone page asked for anew answers the same login once more.
      await page.goBack();
      await page.reload();
      await approve(page);
      await arrive(page, path);
      assert.equal((await identity(page))['x-auth-user'], user);
    });
  }

  story('a form posted without a session is not sent, and can be sent after signing in', async (visitor) => {
    const { page, context } = visitor;
    await signIn(page, '/order');
    await context.clearCookies();
    assert.equal(await statusAfter(page, () => post(page, '/order/send', { amount: '12' })), 401);
    assert.equal(await title(page), TEXTS.en['signed-out-form'].title);
    assert.match(await page.locator('.lead').innerText(), /Nothing was sent/);
    assert.deepEqual(await look(page, 'form-not-sent'), []);

    const opened = context.waitForEvent('page');
    await page.getByRole('link', { name: /^Sign in/ }).click();
    const tab = await opened;
    await approve(tab);
    await arrive(tab, '/order');
    await page.reload();
    assert.equal(await title(page), `Grüezi, ${ZOE}`);
    assert.equal(visitor.traffic.at(-1), 'POST /order/send 200');
  });

  story('a sign-out leads to the provider and comes back by itself', async ({ page, traffic }) => {
    await signIn(page, '/idemia/');
    await page.goto('/.midgate/logout?rd=/public/');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await arrive(page, '/public/');
    await signIn(page, '/idemia/');
    traffic.length = 0;
    await page.goto('/.midgate/logout');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL(({ pathname }) => pathname === '/.midgate/logged-out');
    assert.equal(await page.locator('.lead').innerText(), TEXTS.en['signed-out'].text);
    const [, posted, there, back] = traffic;
    assert.equal(posted, 'POST /.midgate/logout 303');
    assert.match(there, /^GET http:\/\/127\.0\.0\.1:\d+\/oxauth\/restv1\/end_session 302$/);
    assert.equal(back, 'GET /.midgate/logged-out 200');
  });

  story('a page of the provider signs out in a frame, and no other page may frame that', async (visitor) => {
    const { page, context, complaints } = visitor;
    await page.goto('/idemia/');
    const provider = new URL(page.url()).origin;
    await approve(page);
    await arrive(page, '/idemia/');
    const address = `${demo.origin}/.midgate/logout/frontchannel`;
    const foreign = await context.newPage();
    await foreign.goto('/public/');
    const frame = await foreign.evaluate(async (src) => {
      const frame = Object.assign(document.createElement('iframe'), { src });
      const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
      document.body.append(frame);
      await loaded;
      return frame.contentDocument?.title ?? 'blocked';
    }, `${address}?iss=${encodeURIComponent(`${provider}/oxauth`)}&sid=x`);
    assert.equal(frame, 'blocked');
    assert.match(complaints.splice(0).join(), /frame-ancestors/);
    const other = await context.newPage();
    await other.goto(`${provider}/sim/frame?at=${encodeURIComponent(address)}`);
    assert.equal(await other.frames()[1].title(), 'Signed out');
    await page.goto('/idemia/');
    await page.getByRole('heading', { name: 'mID Wallet, simulated' }).waitFor();
  });

  story('another site cannot sign anybody out', async ({ page, context }) => {
    await signIn(page, '/');
    const other = await context.newPage();
    await other.goto('/payroll/');
    const status = await statusAfter(other, () => post(other, `${demo.origin}/.midgate/logout`));
    assert.equal(status, 403);
    assert.equal(await title(other), TEXTS.en['logout-refused'].title);
    await page.reload();
    assert.equal(await title(page), `Grüezi, ${ZOE}`);
  });
});

describe('the gateway\'s own pages', () => {
  for (const [tag, locale] of Object.entries(LANGUAGES)) {
    for (const [section, open] of Object.entries(OWN_PAGES)) {
      const settings = { locale, javaScriptEnabled: section !== 'repost' };
      story(`"${section}" speaks ${tag} and can be read anywhere`, async ({ page }) => {
        await open(page, demo);
        const { [section]: texts, words } = TEXTS[tag];
        assert.equal(await page.locator('html').getAttribute('lang'), tag);
        assert.equal(await title(page), texts.title);
        assert.equal(await page.title(), `${texts.title} – ${words.product}`);
        const text = await page.locator('main').innerText();
        for (const said of [texts.text_as ?? texts.text, texts.next ?? '']) {
          assert.ok(text.includes(said), `${said} in ${text}`);
        }
        // The names of providers are the operator's own words.
        for (const label of await page.locator('.button:not(.choices .button)').allInnerTexts()) {
          const known = Object.values(words).some((word) => label.startsWith(word));
          assert.ok(known, `the button "${label}"`);
        }
        assert.deepEqual(await look(page, `own-${section}-${tag}`), []);
      }, settings);
    }
  }
});
