//! The simulator on a small app that has one of everything.

mod app;
mod disaster;
mod replayed;
mod typed;
