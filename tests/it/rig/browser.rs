//! A browser without a window: cookies, navigations, redirects, forms.

use std::collections::BTreeMap;

use url::Url;

use super::{Answer, Gateway, send};

/// What a browser sends when somebody opens a page.
pub const NAVIGATION: &str =
    "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Site: none\r\nAccept: text/html\r\n";

/// A cookie jar and the port of the gateway.
#[derive(Clone)]
pub struct Browser {
    port: u16,
    /// Sent as Host.
    pub host: String,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(gateway: &Gateway) -> Self {
        Self { port: gateway.port, host: format!("localhost:{}", gateway.port), cookies: BTreeMap::new() }
    }

    /// Opens a page, without following redirects.
    pub fn open(&mut self, target: &str) -> Answer {
        self.ask("GET", target, NAVIGATION, b"")
    }

    /// Asks as a script of the page would.
    pub fn fetch(&mut self, target: &str) -> Answer {
        self.ask(
            "GET",
            target,
            "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept: application/json\r\n",
            b"",
        )
    }

    /// Asks with headers of the story's own, each line with its end.
    pub fn ask(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie =
            if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) };
        let length = if body.is_empty() && method == "GET" {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{cookie}{length}{headers}\r\n",
            self.host
        );
        let answer = send(self.port, &[head.as_bytes(), body].concat()).expect("the gateway answers");
        self.keep(&answer);
        answer
    }

    /// Posts a form from our own origin, or as another site would (no SameSite=Lax cookie goes along).
    pub fn post(&mut self, target: &str, fields: &[(String, String)], same_site: bool) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let site = if same_site { "same-origin" } else { "cross-site" };
        let headers = format!(
            "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Site: {site}\r\nAccept: text/html\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n"
        );
        let jar = self.cookies.clone();
        if !same_site {
            self.cookies.clear();
        }
        let answer = self.ask("POST", target, &headers, body.as_bytes());
        if !same_site {
            let set = std::mem::replace(&mut self.cookies, jar);
            self.cookies.extend(set);
        }
        answer
    }

    fn keep(&mut self, answer: &Answer) {
        for line in answer.all("set-cookie") {
            let pair = line.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie has a value");
            if line.to_ascii_lowercase().contains("max-age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Follows a redirect to the provider and gives what comes back for the callback: a target and a body to post.
    pub fn visit_provider(&self, location: &str) -> Callback {
        let url = Url::parse(location).unwrap_or_else(|_| panic!("{location} is a URL"));
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", url.authority());
        let answer = send(url.port().expect("a simulated provider"), request.as_bytes())
            .expect("the provider answers");
        if answer.status == 302 {
            let back = Url::parse(answer.location()).expect("a redirect URI");
            return Callback { target: back[url::Position::BeforePath..].to_owned(), form: None };
        }
        let (action, fields) = form(&answer.text());
        let back = Url::parse(&action).expect("a redirect URI");
        Callback { target: back[url::Position::BeforePath..].to_owned(), form: Some(fields) }
    }

    /// Delivers an authorization response, and posts it again where our own page asks for it.
    pub fn deliver(&mut self, callback: &Callback) -> Answer {
        let Some(fields) = &callback.form else { return self.open(&callback.target) };
        let first = self.post(&callback.target, fields, false);
        if first.status != 200 {
            return first;
        }
        let (action, fields) = form(&first.text());
        self.post(&action, &fields, true)
    }

    /// Opens a page and goes through the whole login; gives the answer of the callback.
    pub fn sign_in(&mut self, target: &str) -> Answer {
        let start = self.open(target);
        assert_eq!(start.status, 302, "{start:?}");
        let callback = self.visit_provider(start.location());
        self.deliver(&callback)
    }

    /// Signs out, at the provider too where the gateway leads there; gives the answer of the gateway's last page.
    pub fn sign_out(&mut self, target: &str) -> Answer {
        let out = self.post(target, &[], true);
        let home = format!("http://{}/", self.host);
        if out.status != 303 || out.location().starts_with('/') || out.location().starts_with(&home) {
            return out;
        }
        let back = self.visit_provider(out.location());
        self.open(&back.target)
    }

    /// Signs in and sees that it went well.
    pub fn signed_in(gateway: &Gateway, target: &str) -> Self {
        let mut browser = Self::new(gateway);
        let answer = browser.sign_in(target);
        assert_eq!(answer.status, 303, "{} {}", answer.status, answer.text());
        browser
    }

    /// What the application sees of a request for `target`, which must end in `/echo` but for its query.
    pub fn echo(&mut self, target: &str, headers: &str) -> Echo {
        let answer = self.ask("GET", target, headers, b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        Echo(answer.json())
    }

    /// Whether a page can be seen without another login.
    pub fn is_signed_in(&mut self) -> bool {
        self.fetch("/.midgate/session").status == 200
    }
}

/// What a provider sends the browser back with.
#[derive(Debug, Clone)]
pub struct Callback {
    pub target: String,
    pub form: Option<Vec<(String, String)>>,
}

/// A request as the application got it.
pub struct Echo(pub serde_json::Value);

impl Echo {
    /// Every value of a header, by its name exactly but for case.
    pub fn all(&self, name: &str) -> Vec<String> {
        let headers = self.0["headers"].as_array().expect("a list");
        let named =
            headers.iter().filter(|h| h[0].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name)));
        named.map(|header| header[1].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The only value of a header.
    pub fn one(&self, name: &str) -> String {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {}", self.0);
        all.into_iter().next().expect("one")
    }

    pub fn target(&self) -> &str {
        self.0["target"].as_str().expect("a target")
    }
}

/// Action and hidden fields of the first form of a page.
pub fn form(html: &str) -> (String, Vec<(String, String)>) {
    let start = html.find("<form").unwrap_or_else(|| panic!("no form in {html}"));
    let end = html[start..].find("</form>").map_or(html.len(), |at| start + at);
    let form = &html[start..end];
    let attribute = |tag: &str, name: &str| {
        let at = tag.find(&format!("{name}=\""))? + name.len() + 2;
        let value = &tag[at..at + tag[at..].find('"')?];
        Some(unescaped(value))
    };
    let action = attribute(form.split('>').next().unwrap_or_default(), "action").unwrap_or_default();
    let inputs = form.split("<input").skip(1).map(|input| input.split('>').next().unwrap_or_default());
    let fields =
        inputs.filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?))).collect();
    (action, fields)
}

/// A page's text with its character references resolved.
pub fn unescaped(text: &str) -> String {
    let named =
        [("&quot;", "\""), ("&#x2f;", "/"), ("&#x27;", "'"), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">")];
    named.iter().fold(text.to_owned(), |text, (name, plain)| text.replace(name, plain)).replace("&amp;", "&")
}
