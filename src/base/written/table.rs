//! The `table!` macro makes three things of one description of a table, so that they cannot differ: the struct that is
//! checked, the list of keys that [`super::read`] knows, and the JSON Schema for editors. The comments there are what an
//! editor shows.

use super::read::Table;

macro_rules! table {
    (
        $(#[$table:meta])*
        $name:ident = $title:literal {
            $($(#[$field:meta])* $presence:ident $key:ident: $kind:ty,)*
        }
    ) => {
        #[derive(Debug, schemars::JsonSchema)]
        $(#[$table])*
        #[schemars(deny_unknown_fields, transform = $crate::base::written::required_keys::<Self>)]
        pub(crate) struct $name {
            #[schemars(skip)]
            place: $crate::base::written::Place,
            $($(#[$field])* #[schemars(required)] pub(crate) $key: Option<$kind>,)*
            #[schemars(skip)]
            broken: bool,
        }

        impl $crate::base::written::Table for $name {
            const TITLE: &'static str = $title;
            const KEYS: &'static [$crate::base::written::Key] =
                &[$($crate::base::written::Key { name: stringify!($key), required: $crate::base::written::table!(@required $presence) },)*];

            fn take(entries: &mut $crate::base::written::Entries<'_, '_>) -> Self {
                Self {
                    place: entries.place(),
                    $($key: entries.take(stringify!($key)),)*
                    broken: entries.broken(), // of all that was taken above
                }
            }

            fn place(&self) -> $crate::base::written::Place {
                self.place
            }

            fn broken(&self) -> bool {
                self.broken
            }
        }
    };
    (@required required) => { true };
    (@required optional) => { false };
}

/// The derive asks for every key; only those of [`Table::KEYS`] that are required stay.
pub(crate) fn required_keys<T: Table>(schema: &mut schemars::Schema) {
    let required: Vec<&str> = T::KEYS.iter().filter(|key| key.required).map(|key| key.name).collect();
    if required.is_empty() {
        schema.remove("required");
    } else {
        schema.insert("required".into(), required.into());
    }
}

pub(crate) use table;
