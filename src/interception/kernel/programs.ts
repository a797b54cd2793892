// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { Readable } from "node:stream";
import { systemCode } from "../../lib/errors.ts";
import { oneLine } from "../../lib/trim.ts";
import { InterceptionError } from "../interception-error.ts";
import type { IpFamily } from "../options.ts";

/** `plain` is for machines that have one variant only, without its name: `iptables-save`. */
export type Variant = "nft" | "legacy" | "plain";

export interface ProgramOrder {
  readonly command: string;
  readonly args?: readonly string[];
  /** Standard input; none by default. One that is still to come reaches the program when it is there. */
  readonly input?: string | Promise<string>;
}

export interface Programs {
  /**
   * Runs a program to its end.
   * @returns its standard output
   * @throws ProgramError
   */
  readonly run: (order: ProgramOrder) => Promise<string>;
  /** Whether there is a program of the name, without running it. */
  readonly isInstalled: (command: string) => boolean;
}

/** A program is not there, or it failed. */
export class ProgramError extends InterceptionError {
  readonly command: string;
  readonly isMissing: boolean;
  /** Whether a signal ended it, such as Ctrl-C at the terminal. */
  readonly isKilled: boolean;

  constructor(
    command: string,
    reason: string,
    { isMissing = false, isKilled = false, cause }: { isMissing?: boolean; isKilled?: boolean; cause?: unknown },
  ) {
    super(`${command}: ${reason}`, cause === undefined ? undefined : { cause });
    this.command = command;
    this.isMissing = isMissing;
    this.isKilled = isKilled;
  }
}

export function iptablesProgram(variant: Variant, family: IpFamily, verb: "save" | "restore"): string {
  const name = family === "ipv4" ? "iptables" : "ip6tables";
  return variant === "plain" ? `${name}-${verb}` : `${name}-${variant}-${verb}`;
}

/** The rules of a large node take some MB. */
const mostOutputBytes = 64 * 1024 * 1024;
/** More than the time that iptables waits for its lock. */
const longestRunMs = 60_000;

/**
 * @param env the whole environment of the programs
 * @param timeoutMs a program that has not ended by then is killed
 * @param sandbox a command that runs the program in its arguments, for CNI mode; empty for none
 */
export function createPrograms(
  env: Readonly<Record<string, string>>,
  sandbox: readonly string[] = [],
  timeoutMs = longestRunMs,
): Programs {
  return {
    isInstalled: (command) =>
      (env["PATH"] ?? "").split(delimiter).some((directory) => isProgram(join(directory, command))),
    run: async ({ command, args = [], input = "" }) => {
      const [program = command, ...words] = [...sandbox, command, ...args];
      const stdio = [input === "" ? "ignore" : "pipe", "pipe", "pipe"] as const;
      const child = spawn(program, words, { env, stdio: [...stdio], timeout: timeoutMs, killSignal: "SIGKILL" });
      const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
        child.once("error", reject);
        child.once("close", (code, signal) => {
          resolve(code ?? signal ?? "SIGKILL");
        });
      });
      // a program that fails does not read its input to the end
      child.stdin?.on("error", () => undefined);
      provideInput(child, input);
      const [output, errors] = [collect(child.stdout), collect(child.stderr)];
      try {
        const end = await ended;
        if (end === 0) return output();
        const isAbsent = sandbox.length > 0 && end === 127;
        if (isAbsent) throw missingProgram(command);
        const isKilled = typeof end === "string";
        throw new ProgramError(command, `${failureOf(end)}${oneLine(errors().trim()).slice(0, 2_000)}`, { isKilled });
      } catch (error) {
        if (error instanceof ProgramError) throw error;
        throw systemCode(error) === "ENOENT"
          ? missingProgram(command)
          : new ProgramError(command, "did not run", { cause: error });
      }
    },
  };
}

/** Without its input a program does nothing: it is ended. */
function provideInput(child: ChildProcess, input: string | Promise<string>): void {
  if (typeof input === "string") {
    child.stdin?.end(input);
    return;
  }
  input.then(
    (text) => child.stdin?.end(text),
    () => child.kill("SIGKILL"),
  );
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function missingProgram(command: string): ProgramError {
  return new ProgramError(command, "is not installed, or not on PATH", { isMissing: true });
}

function failureOf(end: number | NodeJS.Signals): string {
  return typeof end === "number" ? `exited with ${String(end)}: ` : `was ended by ${end}: `;
}

/** @returns the text, once the stream has ended @throws InterceptionError for more than is allowed */
function collect(stream: Readable | null): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream?.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= mostOutputBytes) chunks.push(chunk);
  });
  return () => {
    if (bytes > mostOutputBytes)
      throw new InterceptionError(`a program printed more than ${String(mostOutputBytes)} bytes`);
    return Buffer.concat(chunks).toString("utf8");
  };
}
