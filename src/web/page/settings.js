// The account: language and look of this browser, password, logins, keys of programs, export, and the way out.

import { apiKeys } from './api-keys.js';
import { call, Problem, wordsOf } from './api.js';
import { fullTime } from './dates.js';
import { confirm, keys } from './dialogs.js';
import { element } from './element.js';
import { preference } from './kept.js';
import { LANGUAGES, say } from './language.js';
import { field, form } from './sign-in.js';

/**
 * The settings of the user.
 * @param {object} user
 * @param {object} about what the server says of itself
 * @param {{language: Function, theme: Function, signOut: Function, gone: Function}} acts `language(tag)`, `theme(name)`;
 *     `signOut()`; `gone()` once the account is deleted
 */
export function settings(user, about, acts) {
    const [changed, ended, revoked] = [note(), note(), note()];
    const known = logins(ended.tell);
    const programs = apiKeys(revoked.tell);
    return element(
        'div',
        { class: 'settings' },
        section('this_browser', [
            choice('language', 'language', { '': say('as_browser'), ...LANGUAGES }, acts.language),
            choice('theme', 'theme', { '': say('as_system'), light: say('light'), dark: say('dark') }, acts.theme),
            element('button', { type: 'button', id: 'show-keys', onclick: keys }, say('keys')),
        ]),
        section('account', [
            element('p', {}, say('signed_in_as', { name: user.username })),
            element('button', { type: 'button', id: 'sign-out', onclick: acts.signOut }, say('sign_out')),
        ]),
        user.role === 'admin'
            ? section('this_server', [
                  element('p', {}, say('dashboard_about')),
                  element('a', { class: 'button', id: 'open-dashboard', href: '/dashboard' }, say('open_dashboard')),
              ])
            : null,
        section('change_password', [
            passwordForm(user, about, () => {
                changed.tell(say('password_changed'));
                known.refresh();
                programs.refresh();
            }),
            changed.node,
        ]),
        section('logins', [element('p', { class: 'hint' }, say('logins_about')), ended.node, known.list]),
        section('api_keys', [revoked.node, programs.parts]),
        section('your_data', [
            element('p', {}, say('export_about')),
            element(
                'a',
                {
                    class: 'button',
                    id: 'export',
                    href: '/api/v1/auth/export',
                    download: `bondhu-${user.username}.jsonl`,
                },
                say('export'),
            ),
        ]),
        section('delete_account', [
            element('p', {}, say('delete_account_about')),
            element(
                'button',
                { type: 'button', id: 'delete-account', class: 'danger', onclick: () => deleteAccount(acts.gone) },
                say('delete_account'),
            ),
        ]),
    );
}

/** A line that says what was done, where it was asked for: it is out of sight anywhere else. */
function note() {
    const node = element('p', { class: 'note', role: 'status', hidden: true });
    const tell = (text) => {
        node.textContent = text;
        node.hidden = false;
    };
    return { node, tell };
}

function section(title, content) {
    return element(
        'section',
        { 'aria-labelledby': `${title}-title` },
        element('h2', { id: `${title}-title` }, say(title)),
        content,
    );
}

function choice(id, label, options, chosen) {
    const now = preference(id) ?? '';
    const select = element(
        'select',
        { id, onchange: () => chosen(select.value || null) },
        Object.entries(options).map(([value, name]) => element('option', { value, selected: value === now }, name)),
    );
    return element('div', { class: 'field' }, element('label', { for: id }, say(label)), select);
}

function passwordForm(user, about, changed) {
    const made = form(
        'password-form',
        [
            // Password managers look for the name beside a new password.
            element('input', {
                type: 'text',
                name: 'username',
                autocomplete: 'username',
                value: user.username,
                readonly: true,
                hidden: true,
                'aria-hidden': 'true',
                tabindex: -1,
            }),
            field(say('current_password'), {
                id: 'current',
                type: 'password',
                required: true,
                autocomplete: 'current-password',
            }),
            field(
                say('new_password'),
                {
                    id: 'new',
                    type: 'password',
                    required: true,
                    minlength: about.password_min,
                    autocomplete: 'new-password',
                },
                say('password_about', { n: about.password_min }),
            ),
        ],
        say('change_password'),
        async ({ current, new: wanted }) => {
            await byPassword(call('POST', '/api/v1/auth/password', { current, new: wanted }));
            made.reset();
            changed();
        },
    );
    return made;
}

function logins(tell) {
    const list = element('ul', { id: 'logins', tabindex: -1, 'aria-labelledby': 'logins-title' });
    const told = (error) => tell(wordsOf(error));
    const read = async () => {
        const { tokens } = await call('GET', '/api/v1/auth/tokens');
        list.replaceChildren(
            ...tokens.map((token) =>
                element(
                    'li',
                    {},
                    element('span', { class: 'title', dir: 'auto' }, token.label ?? say('unnamed_login')),
                    element(
                        'span',
                        { class: 'when' },
                        token.current ? say('this_login') : say('last_used', { when: fullTime(token.last_used_at) }),
                    ),
                    token.current
                        ? null
                        : element(
                              'button',
                              {
                                  type: 'button',
                                  'aria-label': say('end_login_of', { name: token.label ?? say('unnamed_login') }),
                                  // The button goes with its login; the keyboard stays at the list.
                                  onclick: () =>
                                      end(token)
                                          .then(read)
                                          .then(() => list.focus())
                                          .catch(told),
                              },
                              say('end_login'),
                          ),
                ),
            ),
        );
    };
    const end = (token) => call('DELETE', `/api/v1/auth/tokens/${token.id}`);
    const refresh = () => read().catch(told);
    refresh();
    return { list, refresh };
}

function deleteAccount(gone) {
    confirm({
        title: say('delete_account'),
        text: say('delete_account_sure'),
        action: say('delete_account'),
        fields: [
            field(say('password'), {
                id: 'delete-password',
                name: 'password',
                type: 'password',
                required: true,
                autocomplete: 'current-password',
            }),
        ],
        act: async (asked) => {
            await byPassword(call('DELETE', '/api/v1/auth/me', { password: asked.elements.password.value }));
            gone();
        },
    });
}

/** Only a password was asked for: a user name can't be what is wrong. */
function byPassword(asked) {
    return asked.catch((error) => {
        if (error.kind !== 'wrong-credentials') throw error;
        throw new Problem(error.status, { type: 'wrong-password', detail: say('wrong_password') }, null);
    });
}
