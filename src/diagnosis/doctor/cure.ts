// SPDX-License-Identifier: Apache-2.0

/** Messages of the agent say what to do behind their last semicolon. */
export function splitCure(message: string): { readonly fact: string; readonly cure: string | undefined } {
  const at = message.lastIndexOf("; ");
  if (at < 0) return { fact: message, cure: undefined };
  const advice = message.slice(at + 2);
  return { fact: message.slice(0, at), cure: `${advice.charAt(0).toUpperCase()}${advice.slice(1)}.` };
}

/** The message without its advice, for a finding that has a better one. */
export function withoutAdvice(message: string): string {
  return splitCure(message).fact;
}

/** @param form what may be set, where the setting is a variable */
export function generalCure(source: string, form: string | undefined): string {
  return `Correct ${source}${form === undefined ? "" : `: it takes ${form}`}; attache explain shows its value and source.`;
}
