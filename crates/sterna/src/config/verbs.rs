//! `sterna config check`, `show` and `default`.

use super::check::Level;
use super::layers::stray_variables;
use super::{Config, Layers, check, reference, show};
use crate::cli::{ConfigArgs, ConfigVerb, Format};
use crate::commands::render::Style;
use crate::exit::{Classify as _, CommandResult, Failure};
use crate::output;

/// Runs the verb.
pub(crate) fn run(args: &ConfigArgs) -> CommandResult {
    if let ConfigVerb::Default = args.verb {
        let text = reference::default_file().class(Failure::Other)?;
        output::data(text.trim_end());
        return Ok(());
    }
    let layers = Layers::load(&args.source).class(Failure::Local)?;
    let config = Config::read(&layers).class(Failure::Local)?;
    match args.verb {
        ConfigVerb::Default => {}
        ConfigVerb::Show { output } => {
            let text = match output {
                Format::Table => show::table(&layers, &config, &Style::stdout()),
                Format::Json => show::json(&layers, &config).to_string(),
            };
            output::data(text.trim_end());
        }
        ConfigVerb::Check => {
            demand_sound(&config)?;
            output::data("the configuration is good");
        }
    }
    Ok(())
}

/// Warns of what somebody should know; refuses what the gateway must not start with.
pub(crate) fn demand_sound(config: &Config) -> CommandResult {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in stray_variables(names) {
        output::warn(&format!(
            "{name} sets no field; `sterna config show` lists those that there are"
        ));
    }
    let (refused, warned): (Vec<_>, Vec<_>) = check(config)
        .into_iter()
        .partition(|finding| finding.level == Level::Refuse);
    for finding in warned {
        output::warn(&finding.to_string());
    }
    if refused.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = refused.iter().map(ToString::to_string).collect();
    Err(Failure::Local.because(reasons.join("\n")))
}
