//! Users and groups of the container, from its own files; names and numbers alike.

use crate::{failure::Failure, rootfs::Root};

/// Largest `passwd` or `group` that is read, in bytes.
const DATABASE_BYTES_MAX: usize = 4 << 20;
/// Highest number of a user or group, as Docker has it.
const ID_MAX: u32 = i32::MAX.cast_unsigned();
/// Supplementary groups the kernel takes.
const GROUPS_MAX: usize = 65_536;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// The container's users and groups, as text.
#[derive(Debug, Default)]
pub(crate) struct Users {
    passwd: String,
    group: String,
}

/// One line of `passwd`.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl Users {
    /// Reads both files; one that is not there is empty.
    pub(crate) fn read(root: &Root) -> Self {
        let text = |path: &str| {
            let bytes = root.read(path, DATABASE_BYTES_MAX).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self { passwd: text("etc/passwd"), group: text("etc/group") }
    }

    /// Resolves `name`, `uid`, `name:group`, `uid:gid`; empty is root. Supplementary groups are those of
    /// a user that is known, unless a group was named, and `further` always.
    pub(crate) fn identity(&self, user: &str, further: &[String]) -> Result<Identity, Failure> {
        let (name, group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
        let name = if name.is_empty() { "0" } else { name };
        let account = self.account(name);
        let (uid, mut gid, home, known) = match (&account, name.parse::<u32>()) {
            (Some(account), _) => (account.uid, account.gid, account.home, Some(account.name)),
            (None, Ok(uid)) => (uid, 0, "/", None),
            (None, Err(_)) => {
                let step = format!("find user {name}");
                return Err(Failure::refused(step, "it is not in the container's /etc/passwd"));
            }
        };
        let mut groups = Vec::new();
        match (group.filter(|group| !group.is_empty()), known) {
            (Some(group), _) => gid = self.group_id(group)?,
            (None, Some(known)) => groups = self.memberships(known),
            (None, None) => {}
        }
        for group in further {
            groups.push(self.group_id(group)?);
        }
        // Its own group is among them: a set-group-id program could take it away otherwise.
        groups.push(gid);
        groups.sort_unstable();
        groups.dedup();
        groups.truncate(GROUPS_MAX);
        in_range(uid, user)?;
        groups.iter().try_for_each(|gid| in_range(*gid, user))?;
        let home = if home.is_empty() { "/" } else { home };
        Ok(Identity { uid, gid, groups, home: home.to_owned() })
    }

    /// A user's number, by name or number.
    pub(crate) fn user_id(&self, name: &str) -> Result<u32, Failure> {
        self.identity(name, &[]).map(|identity| identity.uid)
    }

    /// A group's number, by name or number.
    pub(crate) fn group_id(&self, name: &str) -> Result<u32, Failure> {
        let by_name = self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
        });
        by_name.or_else(|| name.parse().ok()).ok_or_else(|| {
            Failure::refused(format!("find group {name}"), "it is not in the container's /etc/group")
        })
    }

    fn account(&self, name: &str) -> Option<Account<'_>> {
        let accounts = || self.passwd.lines().filter_map(account);
        accounts()
            .find(|account| account.name == name)
            .or_else(|| accounts().find(|account| name.parse() == Ok(account.uid)))
    }

    fn memberships(&self, user: &str) -> Vec<u32> {
        let member = |line: &str| {
            let mut fields = line.split(':');
            let gid = fields.nth(2)?.parse().ok()?;
            fields.next()?.split(',').any(|name| name.trim() == user).then_some(gid)
        };
        self.group.lines().filter_map(member).collect()
    }
}

/// The highest number means "no change" to the system: whoever asks for it would stay root.
fn in_range(id: u32, user: &str) -> Result<(), Failure> {
    match id <= ID_MAX {
        true => Ok(()),
        false => {
            Err(Failure::refused(format!("be user {user}"), "uids and gids must be in range 0-2147483647"))
        }
    }
}

fn account(line: &str) -> Option<Account<'_>> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1).unwrap_or_default();
    Some(Account { name, uid, gid, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        Users {
            passwd: "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:70:71::/srv/app:/bin/sh\n+::::\n".into(),
            group: "root:x:0:\napp:x:71:\nssl:x:110:other, app\nbroken:x\n4242:x:9:\n".into(),
        }
    }

    fn check(user: &str, further: &[&str], want: Option<(u32, u32, &[u32], &str)>) {
        let further: Vec<_> = further.iter().map(|group| (*group).to_owned()).collect();
        let got = users().identity(user, &further).ok();
        let got = got.as_ref().map(|who| (who.uid, who.gid, who.groups.as_slice(), who.home.as_str()));
        assert_eq!(got, want, "{user:?}");
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        check("", &[], Some((0, 0, &[0], "/root")));
        check("app", &[], Some((70, 71, &[71, 110], "/srv/app")));
        check("70", &[], Some((70, 71, &[71, 110], "/srv/app")));
        check("app:ssl", &[], Some((70, 110, &[110], "/srv/app")));
        check("app:5", &["ssl", "7"], Some((70, 5, &[5, 7, 110], "/srv/app")));
        check("1234", &[], Some((1234, 0, &[0], "/")));
        check("1234:1235", &[], Some((1234, 1235, &[1235], "/")));
        check("0:4242", &[], Some((0, 9, &[9], "/root")));
        check("ghost", &[], None);
        check("app:ghosts", &[], None);
        check("-1", &[], None);
        check("2147483647:2147483647", &[], Some((2_147_483_647, 2_147_483_647, &[2_147_483_647], "/")));
        check("4294967295", &[], None);
        check("2147483648", &[], None);
        check("1:4294967295", &[], None);
        check("1", &["4294967295"], None);
    }
}
