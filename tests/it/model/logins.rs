//! What a member does with logins and the password.

use serde_json::json;

use super::member::{Doubt, Gone, Member};
use crate::support::Client;

impl Member {
    pub(crate) fn login(&mut self) -> Result<(), Gone> {
        self.doubts.push(Doubt::Login);
        let body = json!({"username": self.name, "password": self.password});
        let answer = self.call(0, ("POST", "/api/v1/auth/login"), &[], Some(&body))?.expect(200).json();
        self.doubts.pop();
        if self.tabs.len() > 4 {
            self.tabs.remove(0);
        }
        self.tabs.push(Client::with_token(self.address, answer["token"].as_str().unwrap()));
        Ok(())
    }

    pub(crate) fn logout(&mut self, tab: u8) -> Result<(), Gone> {
        let tab = usize::from(tab) % self.tabs.len();
        let token = self.tabs[tab].token.clone().unwrap();
        if self.tabs.iter().all(|tab| tab.token.as_ref() == Some(&token)) {
            return Ok(()); // The last one stays.
        }
        self.doubts.push(Doubt::Ended(vec![token.clone()]));
        self.call(u8::try_from(tab).unwrap(), ("POST", "/api/v1/auth/logout"), &[], None)?.expect(204);
        self.tabs.retain(|tab| tab.token.as_ref() != Some(&token));
        self.doubts.pop();
        let late = Client::with_token(self.address, &token).send("GET", "/api/v1/auth/me", &[], None)?;
        late.expect(401);
        Ok(())
    }

    pub(crate) fn change_password(&mut self) -> Result<(), Gone> {
        self.next += 1;
        let (current, new) = (self.password.clone(), format!("river-stone-lamp-{}", self.next));
        let kept = self.tabs[0].token.clone().unwrap();
        let ended: Vec<String> =
            self.tabs.iter().filter_map(|tab| tab.token.clone()).filter(|token| *token != kept).collect();
        self.doubts.push(Doubt::Password(new.clone()));
        self.doubts.push(Doubt::Ended(ended.clone()));
        let body = json!({"current": current, "new": new});
        self.call(0, ("POST", "/api/v1/auth/password"), &[], Some(&body))?.expect(204);
        self.password = new;
        self.tabs.retain(|tab| tab.token.as_ref() == Some(&kept));
        self.doubts.truncate(self.doubts.len() - 2);
        for token in ended {
            Client::with_token(self.address, &token).send("GET", "/api/v1/sessions", &[], None)?.expect(401);
        }
        self.tabs.push(Client::with_token(self.address, &kept));
        Ok(())
    }
}
