"""What a load needs on EKS and what that costs: facts, profiles, asked, needs, packing, costs, report. Talks to no cloud and no service."""
