//! The owner: removes and makes, renames, hides and shows, notifies, publishes, changes modes, while clients come and go.

use std::collections::HashMap;
use std::fs;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use benches::dice::Dice;
use kernfs::fuse::Mount;
use kernfs::{Dir, Errno, File, Node, OpenFlags, Result, Root, SetAttr, XattrHow};

use crate::controls::Broken;
use crate::daemon::Daemon;
use crate::names;
use crate::text;
use crate::tree::{self, Text};

/// The owner of a tree.
pub(crate) struct Owner {
    daemon: Arc<Daemon>,
    root: Root,
    dice: Dice,
    /// The objects behind the files, by node.
    texts: HashMap<u64, Arc<Text>>,
}

impl Owner {
    pub(crate) fn new(daemon: &Arc<Daemon>, root: &Root) -> Self {
        Self {
            daemon: Arc::clone(daemon),
            root: root.clone(),
            dice: daemon.dice(1),
            texts: HashMap::new(),
        }
    }

    /// Until it is over.
    pub(crate) fn run(&mut self, mount: &Mount) {
        while !self.daemon.is_over() {
            if let Err(error) = self.act(mount)
                && !matches!(error.errno(), Errno::ENOENT | Errno::EEXIST | Errno::ENODEV)
            {
                let deed = self.daemon.deed();
                self.daemon.faults.tell(format!("owner: {deed}: {error}"));
            }
            // Clients must get somewhere too.
            thread::sleep(Duration::from_micros(self.dice.below(400)));
        }
    }

    fn act(&mut self, mount: &Mount) -> Result<()> {
        match self.dice.below(40) {
            0 => self.whole_directory(),
            1..8 => self.replace(),
            8..12 => self.rename(),
            12..15 => self.hide(),
            15..20 => self.notify(),
            20..26 => self.publish(),
            26..29 => self.modes(),
            29 => self.users(),
            30 => self.odd(),
            31 => {
                self.daemon.begins("flush");
                mount.flush();
                Ok(())
            }
            32 => self.own_read(),
            33 if self.daemon.options.stuck => {
                self.daemon.begins("remove the files that block");
                self.root.remove_by_name("stuck")?;
                tree::stuck(&self.daemon, &self.root)
            }
            _ => self.something_else(),
        }
    }

    fn dir(&mut self) -> Option<Dir> {
        let name = names::dir(self.dice.index(names::DIRS));
        self.root.find(name)?.as_dir()
    }

    fn node(&mut self) -> Option<Node> {
        let dir = self.dir()?;
        let name = match self.dice.below(6) {
            0 => self
                .dice
                .pick(&["long", "fixed", "ro", "bin", "link"])
                .to_owned(),
            _ => names::file(self.dice.index(names::FILES)),
        };
        dir.find(name)
    }

    fn file(&mut self) -> Option<File> {
        self.node()?.as_file()
    }

    fn make(&mut self, dir: &Dir, name: &str) -> Result<()> {
        let text = Text::new(&self.daemon, name == "long", &mut self.dice);
        let file = dir.create_file(name, 0o666, 4096, Arc::clone(&text))?;
        if self.texts.len() > 200 {
            self.texts.clear();
        }
        self.texts.insert(file.id(), text);
        Ok(())
    }

    fn whole_directory(&mut self) -> Result<()> {
        self.daemon.begins("remove a directory");
        let number = self.dice.index(names::DIRS);
        self.root.remove_by_name(names::dir(number))?;
        self.daemon.begins("make a directory");
        tree::fill(&self.daemon, &self.root, number, &mut self.dice)
    }

    /// A file goes, and comes again: at once, or after a while.
    fn replace(&mut self) -> Result<()> {
        self.daemon.begins("replace a file");
        let Some(dir) = self.dir() else {
            return Ok(());
        };
        let name = match self.dice.one_in(8) {
            true => "long".to_owned(),
            false => names::file(self.dice.index(names::FILES)),
        };
        self.keep_for_ever(&dir, &name);
        match dir.remove_by_name(&name) {
            Ok(()) if self.dice.one_in(3) => return Ok(()),
            Err(error) if error.errno() != Errno::ENOENT => return Err(error),
            _ => {}
        }
        self.make(&dir, &name)
    }

    /// What no owner should.
    fn keep_for_ever(&self, dir: &Dir, name: &str) {
        let options = &self.daemon.options;
        let Some(node) = dir.find(name) else {
            return;
        };
        if options.is_broken(Broken::File)
            && let Some(file) = node.as_file()
            && let Ok(open) = file.open(OpenFlags::READ)
        {
            self.keep(open);
        }
        if options.is_broken(Broken::Descriptor)
            && let Ok(descriptor) = fs::File::open("/")
        {
            self.keep(descriptor);
        }
        if options.is_broken(Broken::Node) {
            self.keep(node);
        }
    }

    fn keep<T>(&self, it: T) {
        mem::forget(it);
        self.daemon.kept.fetch_add(1, Relaxed);
    }

    fn rename(&mut self) -> Result<()> {
        self.daemon.begins("rename");
        let (Some(node), Some(to)) = (self.node(), self.dir()) else {
            return Ok(());
        };
        if node.as_file().is_none() {
            return Ok(());
        }
        let long = node.name() == b"long";
        let name = match long {
            true => "long".to_owned(),
            // Names of texts stay with texts.
            false if node.name().starts_with(b"f") && node.name() != b"fixed" => {
                names::file(self.dice.index(names::FILES))
            }
            false => return Ok(()),
        };
        node.rename(&to, name)
    }

    fn hide(&mut self) -> Result<()> {
        self.daemon.begins("hide");
        let Some(file) = self.file() else {
            return Ok(());
        };
        file.hide()?;
        self.dice.spin(3000);
        self.daemon.begins("show");
        file.show()
    }

    fn notify(&mut self) -> Result<()> {
        self.daemon.begins("notify");
        for _ in 0..self.dice.below(8) {
            if let Some(file) = self.file() {
                file.notify();
            }
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<()> {
        self.daemon.begins("publish");
        if let Some(file) = self.file()
            && let Some(text) = self.texts.get(&file.id())
        {
            text.publish(&mut self.dice);
            file.notify();
        }
        Ok(())
    }

    fn modes(&mut self) -> Result<()> {
        self.daemon.begins("change a mode");
        let (node, bits) = match self.dice.below(6) {
            // Else a user may lock the others out, for good.
            0 => (Some(self.root.dir().into()), 0o555),
            1 => (self.root.find(names::USERS), 0o777),
            2 => (self.dir().map(Node::from), 0o755),
            _ => {
                let bits = self.dice.pick(&[0o666, 0o666, 0o644, 0o600, 0o444, 0]);
                (self.node(), bits)
            }
        };
        let Some(node) = node else {
            return Ok(());
        };
        let owner = self.dice.one_in(4).then(|| self.dice.pick(&[0, 65534]));
        node.setattr(&SetAttr {
            mode: Some(bits),
            uid: owner,
            gid: owner,
            ..SetAttr::default()
        })
    }

    /// What users made goes, all at once.
    fn users(&mut self) -> Result<()> {
        self.daemon.begins("remove what users made");
        let users = self.root.find(names::USERS).and_then(|node| node.as_dir());
        let Some(users) = users else {
            return self.root.create_dir(names::USERS, 0o777).map(drop);
        };
        if self.dice.one_in(8) {
            return users.remove();
        }
        let all = users.readdir(0, 100);
        if all.is_empty() {
            return Ok(());
        }
        users.remove_by_name(&all[self.dice.index(all.len())].name)
    }

    fn odd(&mut self) -> Result<()> {
        self.daemon.begins("replace an odd name");
        let name = names::odd(self.dice.index(names::ODD));
        self.root.remove_by_name(&name)?;
        let dir = self.root.create_dir(&name, 0o755)?;
        self.make(&dir, "f1")
    }

    /// The owner's own reads are whole too.
    fn own_read(&mut self) -> Result<()> {
        self.daemon.begins("read");
        let Some(file) = self.file().filter(|file| file.name().starts_with(b"f")) else {
            return Ok(());
        };
        let is_text = file.name() != b"fixed";
        let read = match tree::read(&file) {
            // Modes stop him as well, where there is nobody whom they let.
            Err(error) if error.errno() == Errno::EACCES => return Ok(()),
            read => read?,
        };
        if is_text && !text::is_whole(self.daemon.key, &read) {
            let words = text::excerpt(&read);
            self.daemon.faults.tell(format!("owner: torn: {words}"));
        }
        Ok(())
    }

    /// Where there was a file there is a directory or a link, for a moment.
    fn something_else(&mut self) -> Result<()> {
        self.daemon.begins("make something else of a file");
        let Some(dir) = self.dir() else {
            return Ok(());
        };
        let name = names::file(self.dice.index(names::FILES));
        let target = dir.find("f0").filter(|_| name != "f0");
        dir.remove_by_name(&name)?;
        let made = match target {
            Some(target) if self.dice.one_in(2) => dir.create_link(&name, &target).map(Node::from),
            _ => dir.create_dir(&name, 0o777).map(Node::from),
        }?;
        if self.dice.one_in(2) {
            made.set_xattr("trusted.t", "owner", XattrHow::Set)?;
        }
        thread::sleep(Duration::from_micros(self.dice.below(500)));
        made.remove()?;
        self.make(&dir, &name)
    }
}
