//! The search for references in a mutation's arguments, for servers and devices alike.

use super::BlobHash;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{collections::BTreeSet, fmt};

/// Adds the hashes of all references in a text of JSON: of each object that has the three fields of one, whatever others it has.
///
/// # Errors
/// When the text is nested more deeply than serde reads: what a mutator reads of it could not be told.
pub fn find_blobs(json: &str, found: &mut BTreeSet<BlobHash>) -> Result<(), serde_json::Error> {
    // A field's name may be written with escapes.
    if json.contains("sha256") || json.contains('\\') {
        Search(found).deserialize(&mut serde_json::Deserializer::from_str(json))?;
    }
    Ok(())
}

/// Reads a value for the references in it, and gives the hash that the value itself is.
struct Search<'a>(&'a mut BTreeSet<BlobHash>);

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = Option<BlobHash>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = Option<BlobHash>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // All of those that a field of a name which comes twice has: which of them a mutator takes is not known here.
        let (mut hashes, mut has_size, mut has_mime) = (Vec::new(), false, false);
        while let Some(field) = map.next_key::<String>()? {
            let value = map.next_value_seed(Search(self.0))?;
            match field.as_str() {
                "sha256" => hashes.extend(value),
                "size" => has_size = true,
                "mime" => has_mime = true,
                _ => {}
            }
        }
        if has_size && has_mime {
            self.0.extend(hashes);
        }
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element_seed(Search(self.0))?.is_some() {}
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.parse().ok())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hash(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn found(json: &str) -> Vec<String> {
        let mut found = BTreeSet::new();
        find_blobs(json, &mut found).unwrap();
        found.into_iter().map(|hash| hash.to_string()).collect()
    }

    #[test]
    fn inv36_no_reference_hides_in_arguments() {
        let blob = |digit| json!({"sha256": hash(digit), "size": 1, "mime": "a/b"});
        let args =
            json!({"photo": blob('1'), "more": [[blob('2')], {"deep": {"er": blob('3')}}, null, true, 1.5, -1, "x"]});
        assert_eq!(found(&args.to_string()), [hash('1'), hash('2'), hash('3')]);
        let flat = json!({"caption": "me", "sha256": hash('4'), "size": "?", "mime": {"in": blob('5')}});
        assert_eq!(found(&flat.to_string()), [hash('4'), hash('5')], "among other fields, and inside of one");
        let twice = format!(r#"{{"sha256":"{}","sha256":"{}","mime":0,"size":0,"x":1,"x":2}}"#, hash('6'), hash('7'));
        assert_eq!(found(&twice), [hash('6'), hash('7')]);
        let escaped = blob('8').to_string().replace("sha256", "\\u0073ha256").replace("size", "s\\u0069ze");
        assert_eq!(found(&escaped), [hash('8')]);
        let hidden = format!(r#"{{"photo":{},"photo":null}}"#, blob('9'));
        assert_eq!(found(&hidden), [hash('9')]);
        for other in
            [json!({"sha256": hash('1'), "size": 1}), json!(hash('1')), json!({"sha256": "1", "size": 1, "mime": 1})]
        {
            assert_eq!(found(&other.to_string()), Vec::<String>::new(), "{other}");
        }
    }

    #[test]
    fn inv36_what_cannot_be_searched_is_refused() {
        // serde reads over a field that nobody asked for, however deep it is.
        let deep = format!(r#"{{"x": {}{}, "sha256": 1}}"#, "[".repeat(200), "]".repeat(200));
        assert!(find_blobs(&deep, &mut BTreeSet::new()).is_err());
    }
}
