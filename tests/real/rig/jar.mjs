// A cookie jar that keeps and sends cookies as browsers do.
// Source: RFC 6265bis §5.5 to §5.8. Ports do not part cookies; hosts, paths, schemes and sites do.

// Two addresses are of one site when scheme and registrable name agree; the stories use no public suffixes.
export function site(url) {
  const { protocol, hostname } = new URL(url);
  const isAddress = /^[\d.]+$|^\[/.test(hostname);
  return `${protocol}//${isAddress ? hostname : hostname.split('.').slice(-2).join('.')}`;
}

export class Jar {
  cookies = [];

  // A jar with the same cookies, to be used by itself.
  copy() {
    const jar = new Jar();
    jar.cookies = this.cookies.map((cookie) => ({ ...cookie }));
    return jar;
  }

  // The cookie of a name, if there is one.
  find(name) {
    return this.cookies.find((cookie) => cookie.name === name && !isOver(cookie));
  }

  // Keeps what an answer from `url` sets; gives the cookies as they were read.
  keep(url, lines) {
    return lines.map((line) => {
      const cookie = read(line, new URL(url));
      if (!isGood(cookie, new URL(url))) return { ...cookie, refused: true };
      this.cookies = this.cookies.filter((old) => !['name', 'host', 'path'].every((key) => old[key] === cookie[key]));
      if (!isOver(cookie)) this.cookies.push(cookie);
      return cookie;
    });
  }

  // The cookies for a request: `initiator` is the page that caused it, or null when somebody typed the address.
  toSend({ url, initiator, method, isNavigation }) {
    const { hostname, pathname, protocol } = new URL(url);
    const isCrossSite = initiator !== null && site(initiator) !== site(url);
    const isLaxEnough = isNavigation && (method === 'GET' || method === 'HEAD');
    return this.cookies.filter((cookie) => {
      if (isOver(cookie) || (cookie.secure && protocol !== 'https:')) return false;
      if (!isHostOf(cookie, hostname) || !isPathOf(cookie, pathname)) return false;
      if (!isCrossSite || cookie.sameSite === 'None') return true;
      return cookie.sameSite === 'Lax' && isLaxEnough;
    });
  }
}

function read(line, url) {
  const [pair, ...attributes] = line.split(';').map((part) => part.trim());
  const cut = pair.indexOf('=');
  const cookie = { name: pair.slice(0, cut), value: pair.slice(cut + 1), line };
  const given = new Map();
  for (const attribute of attributes) {
    const [name, ...value] = attribute.split('=');
    given.set(name.toLowerCase(), value.join('='));
  }
  cookie.domain = given.get('domain')?.replace(/^\./, '').toLowerCase();
  cookie.host = cookie.domain || url.hostname;
  const path = given.get('path') ?? '';
  cookie.path = path.startsWith('/') ? path : url.pathname.replace(/\/[^/]*$/, '') || '/';
  cookie.secure = given.has('secure');
  cookie.httpOnly = given.has('httponly');
  // A cookie without the attribute is as good as Lax.
  const word = given.get('samesite')?.toLowerCase();
  cookie.sameSite = ['Strict', 'Lax', 'None'].find((known) => known.toLowerCase() === word) ?? 'Lax';
  if (given.has('max-age')) cookie.expires = Date.now() + Number(given.get('max-age')) * 1000;
  else if (given.has('expires')) cookie.expires = Date.parse(given.get('expires'));
  return cookie;
}

// What a browser does not keep at all.
function isGood(cookie, url) {
  const isHttps = url.protocol === 'https:';
  if (cookie.domain && !isHostOf(cookie, url.hostname)) return false;
  if (cookie.secure && !isHttps) return false;
  if (cookie.sameSite === 'None' && !cookie.secure) return false;
  const name = cookie.name.toLowerCase();
  if (name.startsWith('__secure-')) return cookie.secure;
  if (name.startsWith('__host-')) return cookie.secure && cookie.path === '/' && !cookie.domain;
  return true;
}

function isOver(cookie) {
  return cookie.expires !== undefined && cookie.expires <= Date.now();
}

function isHostOf(cookie, hostname) {
  return cookie.host === hostname || (Boolean(cookie.domain) && hostname.endsWith(`.${cookie.domain}`));
}

function isPathOf(cookie, pathname) {
  if (cookie.path === pathname) return true;
  return pathname.startsWith(cookie.path.endsWith('/') ? cookie.path : `${cookie.path}/`);
}
