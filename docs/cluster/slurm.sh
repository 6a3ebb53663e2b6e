#!/bin/bash
#SBATCH --job-name=byrote
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=12G
#SBATCH --time=04:00:00
#
# A study on the nodes of a SLURM allocation:  sbatch slurm.sh small/rank --out /shared/runs/rank
# A job that was ended, by a limit of time or otherwise, continues with the same command.
set -euo pipefail
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')  # for this job alone
port=${RAY_PORT:-6379}
nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
address="${nodes[0]}:$port"

start() {  # start NODE OPTIONS …: Ray on a node of the allocation, until the job ends
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$1" \
        ray start --block --disable-usage-stats --num-cpus="$SLURM_CPUS_PER_TASK" "${@:2}" &
}
trap 'kill $(jobs -p)' EXIT
start "${nodes[0]}" --head --port="$port" --include-dashboard=false
until ray health-check --address "$address" 2> /dev/null; do sleep 1; done
for node in "${nodes[@]:1}"; do start "$node" --address="$address"; done

# Nodes may join later than byrote: so many workers are asked for, whatever is there at first.
byrote run "$@" --backend ray --ray.address "$address" \
    --machine.workers $((SLURM_JOB_NUM_NODES * SLURM_CPUS_PER_TASK))
