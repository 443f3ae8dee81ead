//! Whatever a pack is, it is judged or refused within bounds; pieces change nothing; and no path that it names leads
//! elsewhere. The first octet says how long the pieces are.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use tidegate::{
    github::push::ObjectFormat,
    pack::{Contents, Looking, Origin, PackError, PackReader, Shelf},
    wire::secrets::Known,
};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Shelf for Memory {
    fn put(&mut self, octets: &[u8]) -> Option<()> {
        self.0.lock().ok()?.extend_from_slice(octets);
        Some(())
    }

    fn get(&self, offset: u64, into: &mut [u8]) -> Option<usize> {
        let all = self.0.lock().ok()?;
        let rest = all.get(usize::try_from(offset).ok()?..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Some(length)
    }
}

static KNOWN: LazyLock<Arc<Known>> = LazyLock::new(|| Arc::new(Known::new([&b"real-credential-of-this-process"[..]]).expect("one secret")));

fn read(pack: &[u8], piece: usize) -> Result<(Contents, Memory), PackError> {
    let mut kept = Memory::default();
    kept.put(pack).ok_or(PackError::Unkept)?;
    let looking = Looking { secrets: Some(Arc::clone(&KNOWN)), larger: Some(100) };
    let mut reader = PackReader::examining(ObjectFormat::Sha1, looking, Box::new(Memory::default()));
    pack.chunks(piece).try_for_each(|piece| reader.take(piece))?;
    Ok((reader.finish_push()?.1.ok_or(PackError::Unkept)?, kept))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, pack)) = bytes.split_first() else { return };
    let (Ok((mut contents, kept)), Ok((mut again, _))) = (read(pack, usize::from(*first) + 1), read(pack, 4096)) else { return };
    let missing = contents.resolve(&kept);
    assert_eq!(missing, again.resolve(&kept));
    if missing != Ok(Vec::new()) {
        return;
    }
    let examined = contents.examined(None);
    assert_eq!(examined, again.examined(None));
    // The trees of the push itself, beside nothing: no path of it is one that nobody may write.
    if let Ok(mut survey) = contents.survey(&[], None) {
        let _ = survey.run(&contents, &|path, _| !path.is_empty());
        for path in contents.examined(Some(survey)).iter().filter_map(|examined| examined.touched()).flatten() {
            assert!(!path.split(|byte| *byte == b'/').any(|name| matches!(name, b"" | b"." | b"..")), "{}", path.escape_ascii());
        }
    }
    // What the upstream sends beside it is read alike.
    let mut beside = again.beside(Origin::Upstream);
    if beside.take(pack).is_ok()
        && let Ok(arrived) = beside.finish_beside()
    {
        let _ = arrived.resolve(&kept);
    }
});
