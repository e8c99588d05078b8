//! User agents, paths and languages that the synthetic visitors use.

/// Browsers, programs and robots, the common ones first.
pub(super) const USER_AGENTS: [&str; 24] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0",
    "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/125.0.6422.80 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "curl/8.7.1",
    "python-requests/2.32.3",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/3.0 Chrome/94.0.4606.31 TV Safari/537.36",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.0; +https://openai.com/gptbot)",
    "",
];

/// Request targets as JSON text, before and after a number; some are not ASCII, some need escapes.
pub(super) const PATHS: [(&str, &str); 20] = [
    ("/articles/", "/how-to-choose"),
    ("/products/", "?utm_source=newsletter&utm_medium=email"),
    ("/assets/app.", ".js"),
    ("/images/hero-", "@2x.webp"),
    ("/", ""),
    ("/category/spring-collection?page=", "&sort=price_asc"),
    ("/search?q=blue+lamp&session=", ""),
    ("/api/v2/items/", "/reviews?limit=20"),
    ("/fonts/inter-", ".woff2"),
    ("/blog/2024/05/", "/what-we-learned-this-year"),
    ("/cart/add/", "?quantity=1"),
    ("/css/site.", ".css"),
    ("/über-uns/team/", ""),
    ("/downloads/manual-", "-en.pdf"),
    ("/checkout/step-2?order=", "&coupon=\\\"SPRING\\\""),
    ("/tags/caf\\u00e9/", "/"),
    ("/wp-login.php?attempt=", ""),
    ("/feed.xml?since=", ""),
    ("/events/", "\\/tickets?seat=A%2012"),
    ("/.well-known/probe-", ""),
];

/// Values of `Accept-Language`.
pub(super) const LANGUAGES: [&str; 8] = [
    "en-US,en;q=0.9",
    "de-DE,de;q=0.9,en;q=0.6",
    "fr-FR,fr;q=0.8",
    "es-ES,es;q=0.9",
    "ja-JP",
    "pt-BR,pt;q=0.9",
    "pl",
    "*",
];
