//! Things by their names, in the order of their names.
//!
//! A sorted list of boxes: a tree of the standard library is compiled whole for every kind of thing, and there are many
//! kinds and few things of each. What comes in order is appended; what does not moves pointers.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};
use std::{fmt, iter, ops, slice, vec};

/// Things by their names.
#[derive(Clone, PartialEq, Eq)]
pub struct Named<T> {
    /// Sorted; no name is there twice.
    entries: Vec<Entry<T>>,
}

type Entry<T> = (String, Box<T>);

/// In which order names are sorted: the later of the same ones alone.
fn order(names: &[&str]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|&at| names[at]);
    let last = |place: usize| order.get(place + 1).is_none_or(|&next| names[next] != names[order[place]]);
    (0..order.len()).filter(|&place| last(place)).map(|place| order[place]).collect()
}

impl<T> Named<T> {
    /// Nothing.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    fn sorted(entries: Vec<Entry<T>>) -> Self {
        if entries.is_sorted_by(|left, right| left.0 < right.0) {
            return Self { entries };
        }
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        let order = order(&names);
        let mut entries: Vec<Option<Entry<T>>> = entries.into_iter().map(Some).collect();
        Self { entries: order.into_iter().filter_map(|at| entries[at].take()).collect() }
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        match self.entries.last() {
            // What comes in order comes here.
            Some((last, _)) if last.as_str() < name => Err(self.entries.len()),
            None => Err(0),
            Some(_) => self.entries.binary_search_by(|(known, _)| known.as_str().cmp(name)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is something of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// What has this name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.place(name).ok().map(|at| &*self.entries[at].1)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.place(name).ok().map(|at| &mut *self.entries[at].1)
    }

    /// Puts something in; gives back what had the name before.
    pub fn insert(&mut self, name: String, thing: T) -> Option<T> {
        match self.place(&name) {
            Ok(at) => Some(std::mem::replace(&mut *self.entries[at].1, thing)),
            Err(at) => {
                self.entries.insert(at, (name, Box::new(thing)));
                None
            }
        }
    }

    /// Puts something in, whatever had the name before, and gives it to be changed.
    pub fn replace(&mut self, name: String, thing: T) -> &mut T {
        let at = match self.place(&name) {
            Ok(at) => {
                *self.entries[at].1 = thing;
                at
            }
            Err(at) => {
                self.entries.insert(at, (name, Box::new(thing)));
                at
            }
        };
        &mut self.entries[at].1
    }

    /// What has this name; made, if nothing has.
    pub fn get_or_insert_with(&mut self, name: &str, make: impl FnOnce() -> T) -> &mut T {
        let at = self.place(name).unwrap_or_else(|at| {
            self.entries.insert(at, (name.to_owned(), Box::new(make())));
            at
        });
        &mut self.entries[at].1
    }

    /// The same, made as it is without anything said.
    pub fn get_or_default(&mut self, name: &str) -> &mut T
    where
        T: Default,
    {
        self.get_or_insert_with(name, T::default)
    }

    /// Takes something out.
    pub fn remove(&mut self, name: &str) -> Option<T> {
        self.place(name).ok().map(|at| *self.entries.remove(at).1)
    }

    /// Takes out what is not to stay.
    pub fn retain(&mut self, mut stays: impl FnMut(&String, &mut T) -> bool) {
        self.entries.retain_mut(|(name, thing)| stays(name, thing));
    }

    /// All of them with their names.
    pub fn iter(&self) -> Iter<'_, T> {
        self.entries.iter().map(|(name, thing)| (name, thing))
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        self.entries.iter_mut().map(|(name, thing)| (name, thing))
    }

    /// Their names.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &String> + ExactSizeIterator {
        self.entries.iter().map(|(name, _)| name)
    }

    /// The things alone.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.entries.iter().map(|(_, thing)| &**thing)
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> + ExactSizeIterator {
        self.entries.iter_mut().map(|(_, thing)| &mut **thing)
    }

    /// The things alone, given away.
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator {
        self.entries.into_iter().map(|(_, thing)| *thing)
    }
}

/// Goes over things with their names.
pub type Iter<'n, T> = iter::Map<slice::Iter<'n, Entry<T>>, fn(&'n Entry<T>) -> (&'n String, &'n T)>;
/// Goes over things to be changed, with their names.
pub type IterMut<'n, T> =
    iter::Map<slice::IterMut<'n, Entry<T>>, fn(&'n mut Entry<T>) -> (&'n String, &'n mut T)>;
/// Gives things away with their names.
pub type IntoIter<T> = iter::Map<vec::IntoIter<Entry<T>>, fn(Entry<T>) -> (String, T)>;

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<T> ops::Index<&str> for Named<T> {
    type Output = T;

    fn index(&self, name: &str) -> &T {
        self.get(name).expect("there is something of this name")
    }
}

impl<'n, T> IntoIterator for &'n Named<T> {
    type Item = (&'n String, &'n T);
    type IntoIter = Iter<'n, T>;

    fn into_iter(self) -> Iter<'n, T> {
        self.iter()
    }
}

impl<'n, T> IntoIterator for &'n mut Named<T> {
    type Item = (&'n String, &'n mut T);
    type IntoIter = IterMut<'n, T>;

    fn into_iter(self) -> IterMut<'n, T> {
        self.iter_mut()
    }
}

impl<T> IntoIterator for Named<T> {
    type Item = (String, T);
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        self.entries.into_iter().map(|(name, thing)| (name, *thing))
    }
}

impl<T> FromIterator<(String, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(things: I) -> Self {
        Self::sorted(things.into_iter().map(|(name, thing)| (name, Box::new(thing))).collect())
    }
}

impl<T, const COUNT: usize> From<[(String, T); COUNT]> for Named<T> {
    fn from(things: [(String, T); COUNT]) -> Self {
        things.into_iter().collect()
    }
}

impl<T> Extend<(String, T)> for Named<T> {
    fn extend<I: IntoIterator<Item = (String, T)>>(&mut self, things: I) {
        for (name, thing) in things {
            self.insert(name, thing);
        }
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, thing) in &self.entries {
            map.serialize_entry(name, &**thing)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(Vec<Entry<T>>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Named<T>, A::Error> {
                while let Some(name) = map.next_key::<String>()? {
                    self.0.push((name, Box::new(map.next_value()?)));
                }
                Ok(Named::sorted(self.0))
            }
        }
        deserializer.deserialize_map(Entries(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_named_is_what_a_tree_is() {
        let given = ["m", "b", "z", "b", "a", "zz", "", "m"];
        let pairs = || given.iter().enumerate().map(|(at, name)| ((*name).to_owned(), at));
        let expected: BTreeMap<String, usize> = pairs().collect();
        let mut one_by_one = Named::new();
        for (name, at) in pairs() {
            one_by_one.insert(name, at);
        }
        let at_once: Named<usize> = pairs().collect();
        assert_eq!(one_by_one, at_once);
        assert!(at_once.iter().eq(expected.iter()) && at_once.len() == expected.len());
        let json = serde_json::to_string(&at_once).expect("JSON");
        assert_eq!(json, serde_json::to_string(&expected).expect("JSON"));
        assert_eq!(serde_json::from_str::<Named<usize>>(&json).expect("read"), at_once);
        for name in ["", "a", "aa", "b", "m", "y", "zz", "zzz"] {
            assert_eq!(at_once.get(name), expected.get(name), "{name}");
            assert_eq!(one_by_one.clone().remove(name), expected.clone().remove(name), "{name}");
        }
        *one_by_one.get_or_default("n") += 7;
        *one_by_one.get_or_insert_with("n", || unreachable!("it is there")) += 1;
        assert_eq!((one_by_one["n"], one_by_one.insert("n".to_owned(), 1)), (8, Some(8)));
        one_by_one.retain(|name, _| name == "n");
        assert_eq!(one_by_one.into_iter().collect::<Vec<_>>(), [("n".to_owned(), 1)]);
        assert!(Named::<u8>::default().is_empty());
    }
}
