//! `scale`: bringing services up in other numbers than the file has.

use super::rehearsal;
use crate::{context::Context, failure::CliError, provider};
use clap::Args;
use mesh_api::{
    options::{CreateOptions, UpOptions},
    request::Request,
};

/// Arguments of `scale`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Number of containers of a service
    #[arg(value_name = "SERVICE=NUMBER", required = true, value_parser = parse)]
    scale: Vec<(String, u32)>,
    /// Leave dependencies alone
    #[arg(long)]
    no_deps: bool,
}

/// `web=3`.
fn parse(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("invalid scale specifier: {text}");
    let (service, number) = text.split_once('=').ok_or_else(wrong)?;
    if service.is_empty() || number.is_empty() {
        return Err(wrong());
    }
    let number = number
        .parse()
        .map_err(|_| format!("invalid scale specifier: can't parse replica value as int: {text}"))?;
    Ok((service.to_owned(), number))
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let names: Vec<String> = arguments.scale.iter().map(|(service, _)| service.clone()).collect();
    let target = context.load(&names).await?;
    context.refuse_unsupported(&target, &names, arguments.no_deps)?;
    let project = provider::up(context, &target, &names, arguments.no_deps).await?;
    let create = CreateOptions {
        services: names,
        no_deps: arguments.no_deps,
        scale: arguments.scale.into_iter().collect(),
        ignore_orphans: target.orphans.ignore,
        substitute: context.settings.substitute,
        ports: context.settings.ports,
        take_over: context.settings.take_over,
        ..CreateOptions::default()
    };
    if context.settings.dry_run {
        let create = CreateOptions { dry_run: true, ..create };
        rehearsal::up(context, &target, &project, create, true).await?;
        return Ok(0);
    }
    let client = target.supervise().await?;
    let options = UpOptions { create, ..UpOptions::default() };
    context.ask(&client, Request::Up { project, options }).await?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_told_in_the_peer_s_words() {
        assert_eq!(parse("web=3"), Ok(("web".to_owned(), 3)));
        for (text, want) in [
            ("web", "invalid scale specifier: web"),
            ("=3", "invalid scale specifier: =3"),
            ("web=x", "invalid scale specifier: can't parse replica value as int: web=x"),
        ] {
            assert_eq!(parse(text).unwrap_err(), want);
        }
    }
}
