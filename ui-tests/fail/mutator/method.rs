//! A method.
use nizhal::prelude::*;

struct App;

impl App {
    #[mutator]
    async fn act(&self) -> Result<Applied> {
        Ok(Applied::done())
    }
}

fn main() {}
