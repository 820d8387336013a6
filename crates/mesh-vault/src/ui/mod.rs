//! One page at `/ui/`: whether the vault is sealed, its mounts, auth methods and policies.
//!
//! The page is this server's own files and speaks to its API with a token that its user gives and that stays in the
//! page's memory. Its policy forbids everything else: scripts in the page, other servers, frames.

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    pub(crate) content_type: &'static str,
    pub(crate) content: &'static str,
}

/// What goes with every file.
pub(crate) const HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
];

/// The file at a path.
pub(crate) fn file(path: &str) -> Option<File> {
    let file = |content_type, content| Some(File { content_type, content });
    match path {
        "/robots.txt" => file("text/plain; charset=utf-8", "User-agent: *\nDisallow: /\n"),
        "/ui/page.js" => file("text/javascript; charset=utf-8", include_str!("page.js")),
        "/ui/page.css" => file("text/css; charset=utf-8", include_str!("page.css")),
        // Vault's own page has many addresses; all of them are this one.
        path if path.starts_with("/ui/") && !path.contains('.') => {
            file("text/html; charset=utf-8", include_str!("page.html"))
        }
        _ => None,
    }
}
