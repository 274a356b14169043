//! Opening libraries at run time: a build needs neither CUDA nor NCCL.

#![expect(
    unsafe_code,
    reason = "libraries are opened and their functions taken by name"
)]

use libloading::Library;
use std::error::Error;

/// Opens the first of these libraries that can be; otherwise the loader's answer to the first.
/// It stays open until the process ends: NCCL and the driver leave threads behind.
pub(super) fn open_first<'n>(names: &[&'n str]) -> Result<(&'n str, &'static Library), String> {
    let mut refused: Option<String> = None;
    for name in names {
        // SAFETY: NCCL's and the driver's initialisers ask nothing of who opens them.
        match unsafe { Library::new(*name) } {
            Ok(library) => return Ok((name, Box::leak(Box::new(library)))),
            Err(error) => {
                // The loader's own words; the error itself says only that it was the loader.
                let words = error.source().map(ToString::to_string);
                refused.get_or_insert_with(|| words.unwrap_or_else(|| error.to_string()));
            }
        }
    }
    Err(refused.unwrap_or_default())
}

/// A library's function by name; its name when it is not there.
///
/// # Safety
/// `F` must be the function's type.
pub(super) unsafe fn find<F: Copy>(library: &'static Library, name: &str) -> Result<F, String> {
    // SAFETY: the caller vouches for the type, and the library is never closed.
    match unsafe { library.get::<F>(name) } {
        Ok(symbol) => Ok(*symbol),
        Err(_) => Err(name.to_owned()),
    }
}

/// Declares a struct of a C library's functions, with a `load` that finds them all or names the
/// first that is missing.
macro_rules! symbols {
    (struct $table:ident { $($name:ident: fn($($argument:ty),*) -> $answer:ty,)+ }) => {
        #[allow(non_snake_case, reason = "C's own names")]
        struct $table {
            $($name: unsafe extern "C" fn($($argument),*) -> $answer,)+
        }

        impl $table {
            fn load(library: &'static libloading::Library) -> Result<Self, String> {
                Ok(Self { $(
                    // SAFETY: the type is the one that the library's header declares.
                    $name: unsafe { $crate::nccl::loading::find(library, stringify!($name)) }?,
                )+ })
            }
        }
    };
}
pub(super) use symbols;
