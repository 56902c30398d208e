// The figures of the last hours, as the server folds them to points: kept here, and continued by what is new.

import { call } from './api.js';

/** What can be looked at: how long it is, and how wide its points are, milliseconds. No more of them than a chart has pixels. */
export const RANGES = {
    '10 min': { length: 600000, step: 1000 },
    '1 h': { length: 3600000, step: 10000 },
    '6 h': { length: 6 * 3600000, step: 60000 },
    '24 h': { length: 24 * 3600000, step: 240000 },
};

export class Past {
    #range = RANGES['1 h'];
    /** Counts the changes of the range: an answer to an earlier one is none. */
    #turn = 0;
    /** Until when it is known, by the server's clock. */
    #until = 0;
    /** Time between two samples, milliseconds. */
    #interval = 0;
    /** When the first point begins, how wide one is, milliseconds, and their values by column; null before any is known. */
    #kept = null;

    /** Looks at another range from now on; nothing of it is known yet. */
    look(name) {
        this.#range = RANGES[name];
        this.#turn += 1;
        this.#kept = null;
    }

    /**
     * Asks for what is new.
     * @param {number} at the server's time, milliseconds since 1970
     */
    async refresh(at) {
        const { length, step } = this.#range;
        const turn = this.#turn;
        const kept = this.#kept;
        // The last point was not yet whole.
        const since = kept ? kept.start + (kept.points - 1) * kept.step : at - length;
        const answer = await call('GET', `/api/v1/admin/monitor?since_ms=${Math.max(0, since)}&step_ms=${step}`);
        if (turn !== this.#turn) return;
        this.#until = answer.at_ms;
        this.#interval = answer.interval_ms;
        if (kept && !joins(kept, answer)) {
            this.#kept = null;
            await this.refresh(at);
            return;
        }
        this.#kept = kept ? joined(kept, answer) : whole(answer);
        if (this.#kept) this.#drop(answer.at_ms - length);
    }

    /**
     * What is known: points from `start` on, each `step` wide, in a window from `from` to `to`; milliseconds since 1970.
     * @returns {{from: number, to: number, start: number, step: number, interval: number, points: number, columns: object} | null}
     */
    view() {
        if (!this.#kept) return null;
        return { ...this.#kept, interval: this.#interval, from: this.#until - this.#range.length, to: this.#until };
    }

    /** Forgets the points that ended before `time`. */
    #drop(time) {
        const kept = this.#kept;
        const old = Math.min(kept.points, Math.max(0, Math.floor((time - kept.start) / kept.step)));
        for (const values of Object.values(kept.columns)) values.splice(0, old);
        kept.start += old * kept.step;
        kept.points -= old;
    }
}

function whole({ start_ms: start, step_ms: step, points, columns }) {
    return points > 0 ? { start, step, points, columns } : null;
}

/** Whether the points of `answer` are those that follow. */
function joins(kept, answer) {
    const ahead = (answer.start_ms - kept.start) / kept.step;
    return answer.step_ms === kept.step && Number.isInteger(ahead) && ahead >= 0 && ahead <= kept.points;
}

function joined(kept, answer) {
    const ahead = (answer.start_ms - kept.start) / kept.step;
    for (const [name, values] of Object.entries(answer.columns)) {
        kept.columns[name].splice(ahead, kept.points, ...values);
    }
    return { ...kept, points: ahead + answer.points };
}
