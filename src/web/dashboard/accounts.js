// Accounts: finding them, and what administrators do with them.

import { announce } from './announce.js';
import { call, wordsOf } from './api.js';
import { copyText } from './clipboard.js';
import { confirm, open } from './dialogs.js';
import { element } from './element.js';
import { moment, number } from './figures.js';
import { facts, grid, rowButton, section } from './grid.js';
import { field, form } from './sign-in.js';

const CALL = '/api/v1/admin/users';
/** So many accounts are a page of them. */
const PAGE = 20;
/** Letters of a password that is made here: none that look like others. */
const LETTERS = 'abcdefghjkmnpqrstuvwxyz23456789';
/** How long a search waits for the next key, milliseconds. */
const PAUSE_MS = 200;

export class Accounts {
    #me;
    #about;
    #section;
    #search = element('input', { id: 'account-search', type: 'search', autocomplete: 'off', spellcheck: 'false' });
    #table;
    #back = element('button', { type: 'button', onclick: () => this.#turn(-1) }, 'Previous page');
    #on = element('button', { type: 'button', onclick: () => this.#turn(1) }, 'Next page');
    /** The cursors of the pages up to the one that is shown. */
    #pages = [null];
    #next = null;
    #asked = 0;
    #timer = 0;

    /**
     * @param {object} me who looks
     * @param {object} about what the server says of itself
     */
    constructor(me, about) {
        this.#me = me;
        this.#about = about;
        const invite = element('button', { type: 'button', onclick: () => this.#invite() }, 'Invite somebody');
        this.#section = section('accounts', 'Accounts', invite);
        this.#search.addEventListener('input', () => {
            clearTimeout(this.#timer);
            this.#timer = setTimeout(() => this.#first(), PAUSE_MS);
        });
        this.#table = grid(
            'Accounts',
            [
                ['User name', ({ username }) => element('strong', { dir: 'auto' }, username)],
                ['Shown as', (user) => element('span', { dir: 'auto' }, user.display_name)],
                ['Role', ({ role }) => role],
                ['Tier', ({ tier }) => tier],
                [
                    'State',
                    (user) =>
                        element(
                            'span',
                            { class: `badge ${user.disabled ? 'shut' : 'open'}` },
                            user.disabled ? 'shut' : 'open',
                        ),
                ],
                ['Sessions', ({ sessions }) => number(sessions)],
                ['Logins', ({ logins }) => number(logins)],
                ['Last used', (user) => (user.last_used_at ? moment(user.last_used_at) : 'never')],
                ['Acts', (user) => rowButton(`manage-${user.id}`, 'Manage', user.username, () => this.#manage(user))],
            ],
            { empty: 'No account’s name begins so.', isDense: true },
        );
        this.node = this.#section.node;
        this.node.append(
            element(
                'div',
                { class: 'field narrow' },
                element('label', { for: 'account-search' }, 'Find by the beginning of a user name'),
                this.#search,
            ),
            this.#table.node,
            element('div', { class: 'pages' }, this.#back, this.#on),
        );
    }

    /** Asks for the page that is shown. */
    async refresh() {
        this.#asked += 1;
        const asked = this.#asked;
        const query = new URLSearchParams({ limit: PAGE });
        if (this.#search.value) query.set('q', this.#search.value);
        if (this.#pages.at(-1)) query.set('cursor', this.#pages.at(-1));
        const { users, next } = await call('GET', `${CALL}?${query}`);
        if (asked !== this.#asked) return;
        this.#next = next;
        this.#table.fill(users);
        this.#back.disabled = this.#pages.length < 2;
        this.#on.disabled = next === null;
        this.#back.parentNode.hidden = this.#back.disabled && this.#on.disabled;
    }

    /** Shows one account, whose id is known from elsewhere. */
    async show(id) {
        try {
            const { user } = await call('GET', `${CALL}/${id}`);
            this.#manage(user);
        } catch (error) {
            this.#section.tell(wordsOf(error));
            this.#search.focus();
        }
    }

    /** Ends what it still waits for. */
    end() {
        clearTimeout(this.#timer);
    }

    #first() {
        this.#pages = [null];
        this.#show();
    }

    #turn(by) {
        if (by > 0) this.#pages.push(this.#next);
        else this.#pages.pop();
        this.#show();
    }

    /** Shows what there is now, and says what has gone wrong. */
    async #show(words = '') {
        try {
            await this.refresh();
            this.#section.tell(words);
        } catch (error) {
            this.#section.tell(wordsOf(error));
        }
    }

    /** Once the dialog has closed, and has given the keyboard back to where it was. */
    #changedSoon(user, words) {
        setTimeout(() => this.#changed(user, words));
    }

    /** After a change: what was done is said, and the keyboard is at the account again. */
    async #changed(user, words) {
        await this.#show(words);
        const button = this.node.querySelector(`[data-act="manage-${user.id}"]`);
        if (document.activeElement === document.body) (button ?? this.#search).focus();
    }

    #manage(user) {
        const isMe = user.id === this.#me.id;
        const path = `${CALL}/${user.id}`;
        const close = () => dialog.close();
        const dialog = open(
            user.username,
            [
                facts([
                    ['Shown as', element('span', { dir: 'auto' }, user.display_name)],
                    ['Since', moment(user.created_at)],
                    ['State', user.disabled ? 'shut' : 'open'],
                ]),
                isMe
                    ? element(
                          'p',
                          { class: 'hint' },
                          'This is you: your role and state are for another administrator to change.',
                      )
                    : null,
                this.#roleAndTier(user, isMe, path, close),
                this.#newPassword(user, path, close),
                element(
                    'div',
                    { class: 'acts' },
                    this.#endLogins(user, path, close),
                    isMe ? null : this.#shutOrOpen(user, path, close),
                ),
            ],
            { id: 'account-dialog' },
        );
    }

    #roleAndTier(user, isMe, path, close) {
        const role = select('role', 'Role', ['user', 'admin'], user.role, isMe);
        const tier = select('tier', 'Tier', ['free', 'premium', 'unlimited'], user.tier);
        return form('account-form', [element('div', { class: 'two' }, role.node, tier.node)], 'Save', async () => {
            const changes = { tier: tier.input.value, ...(isMe ? {} : { role: role.input.value }) };
            const { user: now } = await call('PATCH', path, changes);
            close();
            await this.#changed(user, `${user.username}: role ${now.role}, tier ${now.tier}.`);
        });
    }

    #newPassword(user, path, close) {
        const wanted = field(
            'New password',
            {
                id: 'new-password',
                name: 'password',
                type: 'text',
                required: true,
                minlength: this.#about.password_min,
                autocomplete: 'off',
                spellcheck: 'false',
                value: madeUp(Math.max(20, this.#about.password_min)),
            },
            'Made up just now; every login of the account ends. Please hand it over where nobody else can read it.',
        );
        return form(
            'password-form',
            [wanted],
            'Set this password',
            async ({ password }) => {
                await call('POST', `${path}/password`, { password });
                close();
                await this.#changed(user, `${user.username} has a new password, and no login any more.`);
            },
            { danger: true },
        );
    }

    #endLogins(user, path, close) {
        return element(
            'button',
            {
                type: 'button',
                class: 'danger',
                onclick: () => {
                    close();
                    confirm({
                        title: 'End all logins',
                        text: `${user.username} will be signed out everywhere.`,
                        action: 'End logins',
                        act: async () => {
                            await call('DELETE', `${path}/tokens`);
                            this.#changedSoon(user, `Every login of ${user.username} has ended.`);
                        },
                    });
                },
            },
            'End all logins',
        );
    }

    #shutOrOpen(user, path, close) {
        const change = async (disabled) => {
            await call('PATCH', path, { disabled });
            this.#changedSoon(user, `${user.username} is ${disabled ? 'shut' : 'open again'}.`);
        };
        const opens = () => {
            close();
            change(false).catch((error) => this.#section.tell(wordsOf(error)));
        };
        const shuts = () => {
            close();
            confirm({
                title: 'Shut this account',
                text: `${user.username} will be signed out everywhere, and can’t sign in until the account is opened again. Nothing is deleted.`,
                action: 'Shut it',
                act: () => change(true),
            });
        };
        return user.disabled
            ? element('button', { type: 'button', onclick: opens }, 'Open this account')
            : element('button', { type: 'button', class: 'danger', onclick: shuts }, 'Shut this account');
    }

    async #invite() {
        try {
            const { code } = await call('POST', '/api/v1/admin/invitations');
            const copy = async () => announce((await copyText(code)) ? 'Copied' : 'Please copy it by hand');
            open(
                'Invitation',
                [
                    element('p', {}, 'A code for one registration within seven days. It is shown this once:'),
                    element('p', {}, element('code', { id: 'invitation-code' }, code)),
                    element('button', { type: 'button', class: 'primary', onclick: copy }, 'Copy'),
                ],
                { id: 'invitation-dialog' },
            );
        } catch (error) {
            this.#section.tell(wordsOf(error));
        }
    }
}

function select(id, label, values, now, disabled = false) {
    const options = values.map((value) => element('option', { value, selected: value === now }, value));
    const input = element('select', { id: `account-${id}`, disabled }, options);
    const node = element('div', { class: 'field' }, element('label', { for: input.id }, label), input);
    return { node, input };
}

/** A password that nobody guesses: from 31 letters each. */
function madeUp(length) {
    const letters = [];
    while (letters.length < length) {
        const [byte] = crypto.getRandomValues(new Uint8Array(1));
        // Beyond the last multiple some letters would be likelier than others.
        if (byte < 256 - (256 % LETTERS.length)) letters.push(LETTERS[byte % LETTERS.length]);
    }
    return letters.join('').replace(/(.{5})(?=.)/g, '$1-');
}
