// Signing in, and making an account.

import { call, Problem, wordsOf } from './api.js';
import { element } from './element.js';
import { say } from './language.js';
import { ruleOf } from './rules.js';

/** A labelled field of a form. `about` is a line below it that belongs to it. */
export function field(label, attributes, about = null) {
    const hint = about ? element('small', { id: `${attributes.id}-about`, class: 'hint' }, about) : null;
    const input = element('input', {
        ...attributes,
        name: attributes.name ?? attributes.id,
        'aria-describedby': hint?.id,
    });
    return element('div', { class: 'field' }, element('label', { for: attributes.id }, label), input, hint);
}

/** Has a form send itself by `act(values)`; what goes wrong is said in the form, and spoken. */
export function form(id, fields, action, act, { danger = false } = {}) {
    const fault = element('p', { class: 'fault', role: 'alert', hidden: true });
    const button = element('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, action);
    const node = element(
        'form',
        {
            id,
            novalidate: true,
            onsubmit: async (event) => {
                event.preventDefault();
                fault.hidden = true;
                button.disabled = true;
                const inputs = [...node.querySelectorAll('input')];
                let wrong = inputs.find((input) => !input.checkValidity());
                try {
                    if (wrong) throw new Problem(422, { detail: ruleOf(wrong) }, null);
                    await act(Object.fromEntries(inputs.map((input) => [input.name, input.value])));
                } catch (error) {
                    fault.textContent = wordsOf(error);
                    fault.hidden = false;
                    wrong ??= inputs.find((input) => input.name === blamed(error));
                }
                inputs.forEach((input) => input.setAttribute('aria-invalid', String(input === wrong)));
                button.disabled = false;
                wrong?.focus();
                // A button loses the keyboard while it is disabled.
                if (node.isConnected && document.activeElement === document.body) button.focus();
            },
        },
        fields,
        fault,
        button,
    );
    return node;
}

/** The field that the server's refusal is about: it names it, or there is only one that it can be. */
function blamed({ kind, detail }) {
    const fields = {
        'name-taken': 'username',
        'registration-closed': 'invitation',
        'wrong-credentials': 'password',
        'wrong-password': 'current',
    };
    return fields[kind] ?? /^(\w+): /.exec(detail ?? '')?.[1];
}

/**
 * The page of who is not signed in.
 * @param {object} about what the server says of itself
 * @param {(user: object) => void} signedIn
 * @param {{note?: string, foot: Node, isNew?: boolean}} options `isNew`: begins with making an account
 */
export function signIn(about, signedIn, { note, foot, isNew = false }) {
    const main = element('main', { class: 'gate' });
    const show = (makes) => {
        const form = makes ? registration(about, signedIn) : entrance(signedIn);
        const other = element(
            'button',
            {
                type: 'button',
                class: 'link',
                onclick: () => show(!makes),
            },
            say(makes ? 'have_account' : 'no_account'),
        );
        main.replaceChildren(
            ...[
                element('h1', {}, say(makes ? 'create_account' : 'sign_in')),
                element('p', { class: 'lead' }, say('lead')),
                note && element('p', { class: 'note', role: 'status' }, note),
                form,
                about.registration === 'closed' ? element('p', { class: 'hint' }, say('registration_closed')) : other,
                foot,
            ].filter(Boolean),
        );
        form.querySelector('input').focus();
    };
    show(isNew);
    return main;
}

function entrance(signedIn) {
    return form(
        'sign-in',
        [
            field(say('username'), {
                id: 'username',
                type: 'text',
                required: true,
                autocomplete: 'username',
                autocapitalize: 'none',
                spellcheck: 'false',
            }),
            field(say('password'), {
                id: 'password',
                type: 'password',
                required: true,
                autocomplete: 'current-password',
            }),
        ],
        say('sign_in'),
        async ({ username, password }) => enter(username, password, signedIn),
    );
}

function registration(about, signedIn) {
    const min = about.password_min;
    const register = registrar(signedIn);
    return form(
        'register',
        [
            field(
                say('username'),
                {
                    id: 'username',
                    type: 'text',
                    required: true,
                    maxlength: 64,
                    autocomplete: 'username',
                    autocapitalize: 'none',
                    spellcheck: 'false',
                },
                say('username_about'),
            ),
            field(say('display_name'), {
                id: 'display_name',
                type: 'text',
                maxlength: 64,
                autocomplete: 'nickname',
                dir: 'auto',
            }),
            field(
                say('password'),
                { id: 'password', type: 'password', required: true, minlength: min, autocomplete: 'new-password' },
                say('password_about', { n: min }),
            ),
            about.registration === 'invite'
                ? field(say('invitation'), { id: 'invitation', type: 'text', required: true, autocomplete: 'off' })
                : null,
        ],
        say('create_account'),
        async ({ username, password, display_name: name, invitation }) => {
            const account = { username, password };
            if (name?.trim()) account.display_name = name;
            if (invitation) account.invitation = invitation;
            await register(account);
        },
    );
}

/** Makes an account and signs in; where the answer to one of the two was lost, doing it again goes on from there. */
function registrar(signedIn) {
    let unanswered = null;
    return async (account) => {
        const { username, password } = account;
        let taken = null;
        try {
            await call('POST', '/api/v1/auth/register', account);
            unanswered = username;
        } catch (error) {
            if (!(error instanceof Problem)) unanswered = username;
            if (error.kind !== 'name-taken' || unanswered !== username) throw error;
            taken = error;
        }
        try {
            await enter(username, password, signedIn);
        } catch (error) {
            throw taken !== null && error.kind === 'wrong-credentials' ? taken : error;
        }
    };
}

async function enter(username, password, signedIn) {
    const { user } = await call('POST', '/api/v1/auth/login', { username, password, label: device() });
    signedIn(user);
}

/** What this login is called in the list of logins: browser and system, as far as the browser says. */
function device() {
    const agent = navigator.userAgent;
    const find = (names) => names.find(([mark]) => agent.includes(mark))?.[1];
    const browser = find([
        ['Firefox/', 'Firefox'],
        ['Edg/', 'Edge'],
        ['OPR/', 'Opera'],
        ['Chrome/', 'Chrome'],
        ['Safari/', 'Safari'],
    ]);
    const system = find([
        ['Android', 'Android'],
        ['iPhone', 'iPhone'],
        ['iPad', 'iPad'],
        ['Windows', 'Windows'],
        ['Mac OS', 'macOS'],
        ['Linux', 'Linux'],
    ]);
    return [browser, system].filter(Boolean).join(', ') || 'browser';
}
