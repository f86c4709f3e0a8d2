//! `sealift account`

use super::{date, key, trust::open_site};
use crate::{
    base::{
        failure::{Failures, Result},
        password,
        redact::Secret,
    },
    cli::{
        args::{AccountAdd, AccountCommand, AccountGroup, Password},
        settings::Settings,
        ui::Out,
    },
    report::account::{AccountReport, AccountsReport},
    site::{NewAccount, Site, account_line},
    store::{Account, AccountKind},
};

pub(super) fn run(command: &AccountCommand, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let site = open_site(settings)?;
    let change = |name: &str, decide: &dyn Fn(&mut Account)| {
        site.change_account(name, decide).map(|account| changed(&site, &account, None))
    };
    let report = match command {
        AccountCommand::Add(args) => add(&site, args)?,
        AccountCommand::List => {
            let accounts = site.store().accounts()?;
            let accounts = accounts.iter().map(|account| account_line(account, site.now())).collect();
            out.report(&AccountsReport { schema: 1, accounts });
            return Ok(());
        }
        AccountCommand::Secret(args) => {
            let (password, shown) = args.password.read()?;
            changed(&site, &site.set_password(&args.name, &password)?, shown)
        }
        AccountCommand::Disable(args) => change(&args.name, &|account| account.enabled = false)?,
        AccountCommand::Enable(args) => change(&args.name, &|account| account.enabled = true)?,
        AccountCommand::Remove(args) => {
            site.remove_account(&args.name)?;
            let name = args.name.clone();
            AccountReport { schema: 1, action: "removed", name, account: None, secret: None }
        }
        AccountCommand::Group(AccountGroup::Add(args)) => change(&args.name, &|account| {
            account.groups.insert(args.group.clone());
        })?,
        AccountCommand::Group(AccountGroup::Remove(args)) => change(&args.name, &|account| {
            account.groups.remove(&args.group);
        })?,
    };
    out.report(&report);
    if report.secret.is_some() {
        out.note(&format!("the password of {} stands above, and is shown this once", report.name));
    }
    Ok(())
}

fn add(site: &Site, args: &AccountAdd) -> Result<AccountReport> {
    let (password, shown) = if args.no_password {
        (None, None)
    } else {
        let (password, shown) = args.password.read()?;
        (Some(password), shown)
    };
    let account = site.add_account(NewAccount {
        name: args.name.clone(),
        kind: if args.robot { AccountKind::Robot } else { AccountKind::User },
        groups: args.group.iter().cloned().collect(),
        certificates: args.certificate_identity.iter().cloned().collect(),
        password,
        expires: args.expires.as_deref().map(|text| date("--expires", text)).transpose()?,
    })?;
    Ok(AccountReport { action: "added", ..changed(site, &account, shown) })
}

impl Password {
    /// The password, and once more where it was made and has to be shown.
    fn read(&self) -> Result<(Secret, Option<String>)> {
        if let Some(file) = &self.password_file {
            key::require_private(file, "another password")?;
            return Ok((key::first_line(file)?, None));
        }
        let made = password::random()?;
        let shown = made.reveal().to_owned();
        Ok((made, Some(shown)))
    }
}

fn changed(site: &Site, account: &Account, secret: Option<String>) -> AccountReport {
    let name = account.name.clone();
    AccountReport {
        schema: 1,
        action: "changed",
        name,
        account: Some(account_line(account, site.now())),
        secret,
    }
}
