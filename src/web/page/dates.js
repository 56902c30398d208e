// Days and times, in the viewer's locale and time zone.

import { locale, say } from './language.js';

const DAY_MS = 24 * 3600 * 1000;

/** The day of a time, as a number that is the same for all times of that day where the viewer is. */
export function dayOf(time) {
    const date = new Date(time);
    return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / DAY_MS;
}

/** The heading of a day: today, yesterday, a weekday within the last week, or the date. */
export function dayName(time, now = Date.now()) {
    const ago = dayOf(now) - dayOf(time);
    if (ago === 0) return say('today');
    if (ago === 1) return say('yesterday');
    const date = new Date(time);
    if (ago > 1 && ago < 7) return format(date, { weekday: 'long' });
    const isThisYear = date.getFullYear() === new Date(now).getFullYear();
    return format(date, { day: 'numeric', month: 'long', year: isThisYear ? undefined : 'numeric' });
}

/** The time of day. */
export function timeOf(time) {
    return format(new Date(time), { hour: 'numeric', minute: '2-digit' });
}

/** Day and time, in full. */
export function fullTime(time) {
    return format(new Date(time), { dateStyle: 'full', timeStyle: 'short' });
}

/** A plain date (`2026-11-24`), in full; it is that date everywhere. */
export function fullDate(time) {
    return format(new Date(time), { dateStyle: 'long', timeZone: 'UTC' });
}

/** Day and time, short: for lists. */
export function shortTime(time) {
    return dayOf(time) === dayOf(Date.now()) ? timeOf(time) : dayName(time);
}

const formats = new Map();

function format(date, options) {
    const key = locale() + JSON.stringify(options);
    if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(locale(), options));
    return formats.get(key).format(date);
}
