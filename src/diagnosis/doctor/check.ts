// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig, ConfigInput, ConfigProblem } from "../../config/index.ts";
import type { Clock } from "../../lib/async/clock.ts";
import type { RunningAgent } from "./running-agent.ts";

export type Outcome = "ok" | "warn" | "fail";

/** What a check found: one fact. */
export interface Finding {
  /** Stable: the check's name, or the name with a part: `token`, `ca.connect`. */
  readonly check: string;
  readonly outcome: Outcome;
  /** One line: what is there. Text of peers may be in it; it is escaped when it is printed. */
  readonly fact: string;
  /** One sentence: what to do. Always there for `warn` and `fail`. */
  readonly cure?: string;
  /** The names of findings of which this one is the consequence, if one of them fails. */
  readonly waitsFor?: readonly string[];
}

/** What every check may look at. A check changes nothing and writes nothing. */
export interface DoctorContext {
  /** The environment, the arguments of `proxy`, and the files and facts of the machine that the configuration is made of. */
  readonly input: ConfigInput;
  /** Complete, also where it is wrong: a wrong setting has its default or is empty there. */
  readonly config: AgentConfig;
  /** What is wrong with the configuration. The check `config` reports them; others leave those settings out. */
  readonly problems: readonly ConfigProblem[];
  /** The running agent, asked once; undefined if none responds. */
  readonly agent: RunningAgent | undefined;
  /** Where an agent was asked: `localhost:15020`. */
  readonly agentAddress: string;
  /** Why `agent` is undefined; empty otherwise. */
  readonly agentProblem: string;
  /** Whether something accepts connections there, but did not respond in time. */
  readonly isAgentLate: boolean;
  /** How the agent last exited, where none runs here; undefined where nothing says it. */
  readonly agentExit: string | undefined;
  /** Somebody named the address, so an agent is expected there. */
  readonly isAddressGiven: boolean;
  readonly clock: Clock;
  /** Aborts when the checks have to come to an end. A check that waits says then what it has waited for. */
  readonly signal: AbortSignal;
}

export interface Check {
  /** Stable; docs/doctor.md lists it. Its findings have this name, or this name followed by a dot and a part. */
  readonly name: string;
  /** True: without the environment of a pod or a machine there is nothing to check, and the check is left out. */
  readonly needsEnvironment: boolean;
  /** Runs together with all others. What it throws becomes a finding. */
  run(context: DoctorContext): Promise<readonly Finding[]>;
}

export function ok(check: string, fact: string): Finding {
  return { check, outcome: "ok", fact };
}

export function warn(check: string, fact: string, cure: string): Finding {
  return { check, outcome: "warn", fact, cure };
}

export function fail(check: string, fact: string, cure: string): Finding {
  return { check, outcome: "fail", fact, cure };
}

/** A failure, unless another one is its cause. @param waitsFor names of findings */
export function failUnless(waitsFor: readonly string[], check: string, fact: string, cure: string): Finding {
  return { ...fail(check, fact, cure), waitsFor };
}
