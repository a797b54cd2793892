// SPDX-License-Identifier: Apache-2.0
import type { Comparison, Subject } from "./comparison.ts";

/** What one run of a subject measured, by the key of the row. A row that a subject has nothing for is left out. */
export type Readings = Readonly<Record<string, number>>;

/** A row without its samples. */
export type RowSpec = Omit<Comparison, "samples">;

export interface Rounds {
  readonly rounds: number;
  /** Rounds before these that are not counted: the first start reads the files from the disk. Default 1. */
  readonly warmUps?: number;
  /** A subject that is undefined, such as a peer that was not named, has no samples. */
  readonly subjects: { readonly [subject in Subject]?: (() => Promise<Readings>) | undefined };
  readonly rows: Readonly<Record<string, RowSpec>>;
}

/** Runs the subjects in alternation, each round in another order, so that none always follows the same one. */
export async function runInRounds({ rounds, warmUps = 1, subjects, rows }: Rounds): Promise<readonly Comparison[]> {
  const running = Object.entries(subjects).flatMap(([subject, run]) =>
    run === undefined ? [] : [{ subject: subject as Subject, run, readings: [] as Readings[] }],
  );
  for (let round = -warmUps; round < rounds; round++) {
    for (let place = 0; place < running.length; place++) {
      const turn = running[(place + round + warmUps) % running.length];
      const readings = await turn?.run();
      if (round >= 0 && readings !== undefined) turn?.readings.push(readings);
    }
  }
  return Object.entries(rows).map(([key, row]) => {
    const samples: { [subject in Subject]?: readonly number[] } = {};
    for (const { subject, readings } of running) {
      const values = readings.flatMap((reading) => reading[key] ?? []);
      if (values.length > 0) samples[subject] = values;
    }
    return { ...row, samples };
  });
}
