//! Tidiness of the repository that no compiler checks: what the documents name is there.

mod api;
mod files;
mod links;
mod paths;
mod words;
