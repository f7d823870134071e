//! Several mistakes, reported together.
#[nizhal::table(merge = "newest")]
pub struct Customer {
    pub id: Option<String>,
    pub count: usize,
    #[nizhal(uniqe)]
    pub _meta: String,
    #[nizhal(default = true)]
    pub points: i32,
}

fn main() {}
