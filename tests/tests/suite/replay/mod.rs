//! `merge = "replay"`: what was done offline takes effect in the order it was meant, whatever the order in which it arrived.

mod app;
mod audience;
mod bounds;
mod device;
mod disaster;
mod fault;
mod jobs;
mod kill;
mod mail;
mod order;
mod past;
mod placed;
mod plain;
mod scenario;
mod start;
mod together;
mod unusual;
mod world;
