// SPDX-License-Identifier: Apache-2.0
export { execa } from "execa";
