//! The `serve` verb: start, say where, serve, stop cleanly.

use super::{DevToken, Nizhal, StartError, build::Built, print::print_line};
use crate::{
    http::{Listening, Server},
    settings::{Mode, Settings},
};
use std::fmt::Write;

impl Nizhal {
    pub(super) async fn serve(mut self, settings: Settings) -> Result<(), StartError> {
        settings.check_listener()?;
        let banner = self.banner.take();
        let Built { server, tokens, secret_made_here } = Box::pin(self.build(settings)).await?;
        let listening = Listening::start(&server)?;
        let url = format!("http://{}", listening.address());
        let mut text = start_text(&server, &url, &tokens, secret_made_here);
        if let Some(banner) = banner
            && server.settings().mode == Mode::Development
        {
            let _ = write!(text, "\n{}", banner(&url, &tokens).trim_end());
        }
        print_line(text.trim_end());
        listening.until_stopped(&server).await;
        Ok(())
    }
}

fn start_text(server: &Server, url: &str, tokens: &[DevToken], secret_made_here: bool) -> String {
    let settings = server.settings();
    let mut lines = vec![
        format!("{} ({})", server.name(), settings.mode.as_str()),
        format!("database: {} at {}", server.database_kind(), settings.database_url),
        format!("listening on {url}"),
    ];
    if secret_made_here {
        lines.push(String::new());
        lines.push(
            "WARNING: NIZHAL_AUTH_SECRET is not set. Tokens are signed with a secret made for this run".to_owned(),
        );
        lines
            .push("         and end with it. Set it to keep tokens across restarts; production demands it.".to_owned());
    }
    for DevToken { label, token } in tokens {
        lines.push(String::new());
        lines.push(format!("token of {label}:"));
        lines.push(token.clone());
    }
    lines.push(String::new());
    lines.join("\n")
}
