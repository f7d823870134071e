//! The verb `jobs run-once`: what is due now, for cron.

use super::{Nizhal, StartError, build::connect, print::print_line};
use crate::{
    engine::Engine,
    hub::Hub,
    job::{JobEnd, Workers, run_next},
    settings::Settings,
};
use nizhal_core::NodeId;

impl Nizhal {
    /// Runs every job that was due when it began; those that they enqueue wait for the next time.
    pub(super) async fn run_jobs_once(mut self, settings: Settings) -> Result<(), StartError> {
        let schema = self.schema()?;
        let store = connect(&self.name, &settings, schema.clone()).await?;
        let node = NodeId(self.environment.new_id().as_u128());
        // Nobody listens to this hub: servers hear of the writes as of any other process's.
        let engine = Engine::new(schema, store, Hub::default(), self.environment.clone(), node);
        engine.release_jobs().await.map_err(StartError::Jobs)?;
        let (due, workers) = (self.environment.now(), Workers::new(1));
        let (mut done, mut later, mut dead) = (0, 0, 0);
        while let Some(end) = run_next(&engine, &workers, due).await.map_err(StartError::Jobs)? {
            match end {
                JobEnd::Done => done += 1,
                JobEnd::Later => later += 1,
                JobEnd::Dead => dead += 1,
            }
        }
        engine.store.close().await;
        print_line(&format!("{done} jobs done, {later} to be tried again, {dead} given up"));
        Ok(())
    }
}
