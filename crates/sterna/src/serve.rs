//! `sterna serve`: the gateway.

use crate::cli::ServeArgs;
use crate::config::{Config, Layers, demand_sound};
use crate::exit::{Classify as _, CommandResult, Failure};

/// Runs the gateway until it is stopped.
pub(crate) async fn run(args: &ServeArgs) -> CommandResult {
    let layers = Layers::for_serve(args).class(Failure::Local)?;
    let config = Config::read(&layers).class(Failure::Local)?;
    demand_sound(&config)?;
    Err(Failure::Other.because("the gateway is not built yet"))
}
