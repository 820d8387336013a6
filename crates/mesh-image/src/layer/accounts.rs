//! `/etc/passwd` and `/etc/group` of a layer: those of the base, and the recipe's users added.
//! Pure: texts in, texts out.

use crate::recipe::User;

/// Shell of a user that is never logged in as.
const NO_SHELL: &str = "/usr/sbin/nologin";

/// The masters of `base-passwd` with their open passwords closed.
pub(crate) fn closed(master: &str) -> String {
    let mut text = String::new();
    for line in master.lines() {
        let mut fields: Vec<&str> = line.split(':').collect();
        if let Some(password) = fields.get_mut(1) {
            *password = "*";
        }
        text.push_str(&fields.join(":"));
        text.push('\n');
    }
    text
}

/// The base's users and the recipe's; one of the same name is replaced.
pub(crate) fn passwd(base: &str, users: &[User]) -> String {
    let mut text = without(base, users);
    for user in users {
        let shell = user.shell.as_deref().unwrap_or(NO_SHELL);
        text.push_str(&format!("{}:*:{}:{}::{}:{shell}\n", user.name, user.uid, user.gid, user.home));
    }
    text
}

/// The base's groups and the recipe's. A user of another group's number gets no group of its own.
pub(crate) fn group(base: &str, users: &[User]) -> String {
    let mut text = without(base, users);
    for user in users {
        text.push_str(&format!("{}:*:{}:\n", user.name, user.gid));
    }
    text
}

fn without(base: &str, users: &[User]) -> String {
    let replaced = |line: &&str| users.iter().any(|user| line.split(':').next() == Some(user.name.as_str()));
    base.lines().filter(|line| !line.is_empty() && !replaced(line)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_added_once() {
        let base = closed("root::0:0:root:/root:/bin/bash\nredis:x:5:5::/:/bin/sh\n");
        let users = [User { name: "redis".into(), uid: 999, gid: 1000, home: "/data".into(), shell: None }];
        assert_eq!(
            passwd(&base, &users),
            "root:*:0:0:root:/root:/bin/bash\nredis:*:999:1000::/data:/usr/sbin/nologin\n"
        );
        assert_eq!(group("root:*:0:\n", &users), "root:*:0:\nredis:*:1000:\n");
    }
}
