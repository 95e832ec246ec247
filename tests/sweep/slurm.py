"""Stand-ins for SLURM's programs that run a submitted script on this machine."""

import stat
import sys
from pathlib import Path

SBATCH = """
import os, re, subprocess, sys
script = open(sys.argv[-1]).read()
option = lambda name, default: (re.findall(rf"#SBATCH --{name}=(\\S+)", script) or [default])[0]
nodes, tasks = int(option("nodes", "1")), int(option("ntasks-per-node", "1"))
array = re.match(r"\\d+-(\\d+)", option("array", ""))
if sys.argv[1] != "--now":  # submitit completes a job's files once it knows the number
    null = subprocess.DEVNULL
    subprocess.Popen([__file__, "--now", sys.argv[-1]], stdin=null, stdout=null, stderr=null)
    sys.exit(print("Submitted batch job 4200"))
for index in range(int(array.group(1)) + 1 if array else 1):
    job = {
        "SLURM_JOB_ID": str(4200 + index), "SLURM_JOB_NAME": option("job-name", "train"),
        "SLURM_NNODES": str(nodes), "SLURM_NTASKS": str(nodes * tasks),
        "SLURM_NTASKS_PER_NODE": str(tasks), "SLURM_JOB_NODELIST": "localhost",
        "SLURM_NODELIST": "localhost", "SLURM_PROCID": "0",
    }
    if array:
        job |= {"SLURM_ARRAY_JOB_ID": "4200", "SLURM_ARRAY_TASK_ID": str(index)}
    subprocess.run(["bash", sys.argv[-1]], env=os.environ | job)
"""

SRUN = """
import os, subprocess, sys
command = sys.argv[1:]
while command[0].startswith("-"):
    takes_value = command[0] in ("--output", "--error")
    command = command[2 if takes_value else 1:]
tasks, per_node = int(os.environ["SLURM_NTASKS"]), int(os.environ["SLURM_NTASKS_PER_NODE"])
running = [
    subprocess.Popen(command, env=os.environ | {
        "SLURM_STEP_NUM_TASKS": str(tasks), "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank % per_node), "SLURM_NODEID": str(rank // per_node),
    })
    for rank in range(tasks)
]
sys.exit(max([process.wait() for process in running]))
"""

SACCT = "print('JobID|State|NodeList')"


def install(folder: Path) -> Path:
    """Write sbatch, srun and their like into `folder`, which is to stand first in PATH."""
    programs = {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "squeue": "", "scancel": ""}
    for name, program in programs.items():
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{program}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder
