"""E[σ(Y₁) σ(Y₂)] of selu(x) = 5253504936777402467096674926473*Piecewise((x, x > 0), (16732632423543772848170429916717*exp(x)/10000000000000000000000000000000 - 16732632423543772848170429916717/10000000000000000000000000000000, True))/5000000000000000000000000000000

Formula  27599314120744539492906273226674681883139653659190559956219729*mu_1*sigma_2*Phi((mu_1/sigma_1 -
         mu_2*rho/sigma_2)/sqrt(1 -
         rho**2))*phi(mu_2/sigma_2)/25000000000000000000000000000000000000000000000000000000000000 -
         461809178324339576066195108820304544488376840750160421007155330039397795787089315579622309693*mu_1*Phi2(mu_1/sigma_1,
         -mu_2/sigma_2,
         -rho)/250000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         +
         27599314120744539492906273226674681883139653659190559956219729*mu_2*sigma_1*Phi((-mu_1*rho/sigma_1
         + mu_2/sigma_2)/sqrt(1 -
         rho**2))*phi(mu_1/sigma_1)/25000000000000000000000000000000000000000000000000000000000000 -
         461809178324339576066195108820304544488376840750160421007155330039397795787089315579622309693*mu_2*Phi2(-mu_1/sigma_1,
         mu_2/sigma_2,
         -rho)/250000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         + 27599314120744539492906273226674681883139653659190559956219729*sigma_1*sigma_2*sqrt(1 -
         rho**2)*phi(mu_1/sigma_1)*phi((-mu_1*rho/sigma_1 + mu_2/sigma_2)/sqrt(1 -
         rho**2))/25000000000000000000000000000000000000000000000000000000000000 +
         461809178324339576066195108820304544488376840750160421007155330039397795787089315579622309693*sigma_1*exp(-mu_1*rho*sigma_2/sigma_1
         + mu_2 - rho**2*sigma_2**2/2 + sigma_2**2/2)*Phi(-sigma_2*sqrt(1 - rho**2) + (mu_1*rho/sigma_1 -
         mu_2/sigma_2)/sqrt(1 -
         rho**2))*phi(mu_1/sigma_1)/250000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         -
         461809178324339576066195108820304544488376840750160421007155330039397795787089315579622309693*sigma_1*Phi((mu_1*rho/sigma_1
         - mu_2/sigma_2)/sqrt(1 -
         rho**2))*phi(mu_1/sigma_1)/250000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         +
         461809178324339576066195108820304544488376840750160421007155330039397795787089315579622309693*sigma_2*exp(mu_1
         - mu_2*rho*sigma_1/sigma_2 - rho**2*sigma_1**2/2 + sigma_1**2/2)*Phi(-sigma_1*sqrt(1 - rho**2) +
         (-mu_1/sigma_1 + mu_2*rho/sigma_2)/sqrt(1 -
         rho**2))*phi(mu_2/sigma_2)/250000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         -
         461809178324339576066195108820304544488376840750160421007155330039397795787089315579622309693*sigma_2*Phi((-mu_1/sigma_1
         + mu_2*rho/sigma_2)/sqrt(1 -
         rho**2))*phi(mu_2/sigma_2)/250000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         +
         461809178324339576066195108820304544488376840750160421007155330039397795787089315579622309693*(mu_1
         + rho*sigma_1*sigma_2)*exp(mu_2 + sigma_2**2/2)*Phi2(mu_1/sigma_1 + rho*sigma_2, -mu_2/sigma_2 -
         sigma_2,
         -rho)/250000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         +
         461809178324339576066195108820304544488376840750160421007155330039397795787089315579622309693*(mu_2
         + rho*sigma_1*sigma_2)*exp(mu_1 + sigma_1**2/2)*Phi2(-mu_1/sigma_1 - sigma_1, mu_2/sigma_2 +
         rho*sigma_1,
         -rho)/250000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         + 27599314120744539492906273226674681883139653659190559956219729*(mu_1*mu_2 +
         rho*sigma_1*sigma_2)*Phi2(mu_1/sigma_1, mu_2/sigma_2,
         rho)/25000000000000000000000000000000000000000000000000000000000000 -
         7727283230719952492755963170888232048250335913437546536223345465345994719732325918444232470691167975763176176487293171837881*exp(mu_1
         + sigma_1**2/2)*Phi2(-mu_1/sigma_1 - sigma_1, -mu_2/sigma_2 - rho*sigma_1,
         rho)/2500000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         -
         7727283230719952492755963170888232048250335913437546536223345465345994719732325918444232470691167975763176176487293171837881*exp(mu_2
         + sigma_2**2/2)*Phi2(-mu_1/sigma_1 - rho*sigma_2, -mu_2/sigma_2 - sigma_2,
         rho)/2500000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         +
         7727283230719952492755963170888232048250335913437546536223345465345994719732325918444232470691167975763176176487293171837881*exp(mu_1
         + mu_2 + rho*sigma_1*sigma_2 + sigma_1**2/2 + sigma_2**2/2)*Phi2(-mu_1/sigma_1 - rho*sigma_2 -
         sigma_1, -mu_2/sigma_2 - rho*sigma_1 - sigma_2,
         rho)/2500000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         +
         7727283230719952492755963170888232048250335913437546536223345465345994719732325918444232470691167975763176176487293171837881*Phi2(-mu_1/sigma_1,
         -mu_2/sigma_2,
         rho)/2500000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
Proved   by symgauss.prove_covariance: mean, Price, start, analyticity
Kernel   Φ₂ at 9 corners; the sum of 16 terms, with what rounding may have made of it
Cost     9 Φ₂ and 339 operations, sizes included
Source   formula 41af6528667e1b81, generator 4

Generated by `python -m symgauss.codegen`: change symgauss/, not this file.
"""

from math import sqrt

import numpy as np

from numeric.binormal import conditional, within
from numeric.covariance_kernels import BLOCK, Phi2_sized, Phi_phi_sized, ROUNDING, UNDERFLOW, distributions, in_order, load, pair, quadratic, store
from numeric.jit import device, loop
from numeric.special import exp

NAME = 'selu'
FORMULA_HASH = '41af6528667e1b81'


@device
def corner_0(mu_1, sigma_1, mu_2, sigma_2, rho, less, more):
    return -mu_1/sigma_1, -mu_2/sigma_2, rho, less, more


@device
def corner_1(mu_1, sigma_1, mu_2, sigma_2, rho, less, more):
    return -mu_1/sigma_1, mu_2/sigma_2, -rho, more, less


@device
def corner_2(mu_1, sigma_1, mu_2, sigma_2, rho, less, more):
    return mu_1/sigma_1, -mu_2/sigma_2, -rho, more, less


@device
def corner_3(mu_1, sigma_1, mu_2, sigma_2, rho, less, more):
    return mu_1/sigma_1, mu_2/sigma_2, rho, less, more


@device
def corner_4(mu_1, sigma_1, mu_2, sigma_2, rho, less, more):
    return -mu_1/sigma_1 - sigma_1, -mu_2/sigma_2 - rho*sigma_1, rho, less, more


@device
def corner_5(mu_1, sigma_1, mu_2, sigma_2, rho, less, more):
    return -mu_1/sigma_1 - sigma_1, mu_2/sigma_2 + rho*sigma_1, -rho, more, less


@device
def corner_6(mu_1, sigma_1, mu_2, sigma_2, rho, less, more):
    return -mu_1/sigma_1 - rho*sigma_2, -mu_2/sigma_2 - sigma_2, rho, less, more


@device
def corner_7(mu_1, sigma_1, mu_2, sigma_2, rho, less, more):
    return mu_1/sigma_1 + rho*sigma_2, -mu_2/sigma_2 - sigma_2, -rho, more, less


@device
def corner_8(mu_1, sigma_1, mu_2, sigma_2, rho, less, more):
    return -mu_1/sigma_1 - rho*sigma_2 - sigma_1, -mu_2/sigma_2 - rho*sigma_1 - sigma_2, rho, less, more


@device
def covariance(mu_1, sigma_1, mu_2, sigma_2, rho, less, more, P_0, P_1, P_2, P_3, P_4, P_5, P_6, P_7, P_8, P_0_size, P_1_size, P_2_size, P_3_size, P_4_size, P_5_size, P_6_size, P_7_size, P_8_size):
    apart = less*more
    root = sqrt(apart)
    w_1 = exp(mu_2 + (1/2)*sigma_2**2)
    w_2 = exp(mu_1 + (1/2)*sigma_1**2)
    z_1 = within(-mu_2/sigma_2)
    z_2 = within(-mu_1/sigma_1)
    z_3 = within(conditional(z_1, z_2, rho, less, more))
    Phi_3, phi_3, Phi_3_size, phi_3_size = Phi_phi_sized(z_3, abs(z_3))
    z_4 = within(mu_1/sigma_1)
    Phi_4, phi_4, Phi_4_size, phi_4_size = Phi_phi_sized(z_4, abs(z_4))
    w_3 = exp((1/2)*(apart*sigma_1*sigma_2**2 - 2*mu_1*rho*sigma_2 + 2*mu_2*sigma_1)/sigma_1)
    z_5 = within(conditional(z_1, z_2, rho, less, more) - root*sigma_2)
    Phi_5, phi_5, Phi_5_size, phi_5_size = Phi_phi_sized(z_5, root*sigma_2 + abs(conditional(z_1, z_2, rho, less, more)))
    z_6 = within(conditional(z_2, z_1, rho, less, more))
    Phi_6, phi_6, Phi_6_size, phi_6_size = Phi_phi_sized(z_6, abs(z_6))
    z_7 = within(mu_2/sigma_2)
    Phi_7, phi_7, Phi_7_size, phi_7_size = Phi_phi_sized(z_7, abs(z_7))
    w_4 = exp((1/2)*(apart*sigma_1**2*sigma_2 + 2*mu_1*sigma_2 - 2*mu_2*rho*sigma_1)/sigma_2)
    z_8 = within(conditional(z_2, z_1, rho, less, more) - root*sigma_1)
    Phi_8, phi_8, Phi_8_size, phi_8_size = Phi_phi_sized(z_8, root*sigma_1 + abs(conditional(z_2, z_1, rho, less, more)))
    z_9 = within(conditional(z_4, z_7, rho, less, more))
    Phi_9, phi_9, Phi_9_size, phi_9_size = Phi_phi_sized(z_9, abs(z_9))
    z_10 = within(conditional(z_7, z_4, rho, less, more))
    Phi_10, phi_10, Phi_10_size, phi_10_size = Phi_phi_sized(z_10, abs(z_10))
    w_5 = exp(mu_1 + mu_2 + (1/2)*quadratic(sigma_1, -sigma_2, less, more))
    value = -1.8472367132973584*mu_1*P_2
    value -= 1.8472367132973584*mu_2*P_1
    value += ((1.8472367132973584)*mu_1 + (1.8472367132973584)*rho*sigma_1*sigma_2)*w_1*P_7
    value += ((1.8472367132973584)*mu_2 + (1.8472367132973584)*rho*sigma_1*sigma_2)*w_2*P_5
    value += ((1.1039725648297816)*mu_1*mu_2 + (1.1039725648297816)*rho*sigma_1*sigma_2)*P_3
    value -= 1.8472367132973584*sigma_1*Phi_3*phi_4
    value += (1.8472367132973584)*sigma_1*w_3*Phi_5*phi_4
    value -= 1.8472367132973584*sigma_2*Phi_6*phi_7
    value += (1.8472367132973584)*sigma_2*w_4*Phi_8*phi_7
    value += (1.1039725648297816)*mu_1*sigma_2*Phi_9*phi_7
    value += (1.1039725648297816)*mu_2*sigma_1*Phi_10*phi_4
    value += (1.1039725648297816)*root*sigma_1*sigma_2*phi_4*phi_10
    value += 3.090913292287981*P_0
    value -= 3.090913292287981*w_2*P_4
    value -= 3.090913292287981*w_1*P_6
    value += 3.090913292287981*w_5*P_8
    # the same terms, everything in them with its absolute value
    size = (1.8472367132973584)*abs(mu_1)*P_2_size
    size += (1.8472367132973584)*abs(mu_2)*P_1_size
    size += ((1.8472367132973584)*sigma_1*sigma_2*abs(rho) + (1.8472367132973584)*abs(mu_1))*w_1*((1/2)*sigma_2**2 + abs(mu_2) + 1)*((P_7_size + UNDERFLOW))
    size += ((1.8472367132973584)*sigma_1*sigma_2*abs(rho) + (1.8472367132973584)*abs(mu_2))*w_2*((1/2)*sigma_1**2 + abs(mu_1) + 1)*((P_5_size + UNDERFLOW))
    size += ((1.1039725648297816)*sigma_1*sigma_2*abs(rho) + (1.1039725648297816)*abs(mu_1)*abs(mu_2))*P_3_size
    size += (1.8472367132973584)*sigma_1*Phi_3_size*phi_4_size
    size += (1.8472367132973584)*sigma_1*w_3*(1 + (1/2)*(apart*sigma_1*sigma_2**2 + 2*sigma_1*abs(mu_2) + 2*sigma_2*abs(mu_1)*abs(rho))/sigma_1)*((Phi_5_size + UNDERFLOW))*((phi_4_size + UNDERFLOW))
    size += (1.8472367132973584)*sigma_2*Phi_6_size*phi_7_size
    size += (1.8472367132973584)*sigma_2*w_4*(1 + (1/2)*(apart*sigma_1**2*sigma_2 + 2*sigma_1*abs(mu_2)*abs(rho) + 2*sigma_2*abs(mu_1))/sigma_2)*((Phi_8_size + UNDERFLOW))*((phi_7_size + UNDERFLOW))
    size += (1.1039725648297816)*sigma_2*abs(mu_1)*Phi_9_size*phi_7_size
    size += (1.1039725648297816)*sigma_1*abs(mu_2)*Phi_10_size*phi_4_size
    size += (1.1039725648297816)*root*sigma_1*sigma_2*phi_4_size*phi_10_size
    size += 3.090913292287981*P_0_size
    size += 3.090913292287981*w_2*((1/2)*sigma_1**2 + abs(mu_1) + 1)*((P_4_size + UNDERFLOW))
    size += 3.090913292287981*w_1*((1/2)*sigma_2**2 + abs(mu_2) + 1)*((P_6_size + UNDERFLOW))
    size += 3.090913292287981*w_5*((1/2)*quadratic(sigma_1, -sigma_2, less, more) + abs(mu_1) + abs(mu_2) + 1)*((P_8_size + UNDERFLOW))
    return value, ROUNDING*size


@device
def covariance_pair(mean_1, std_1, mean_2, std_2, rho):
    m_1, s_1, m_2, s_2 = in_order(mean_1, std_1, mean_2, std_2)
    P_0, size_0 = Phi2_sized(*corner_0(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho))
    P_1, size_1 = Phi2_sized(*corner_1(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho))
    P_2, size_2 = Phi2_sized(*corner_2(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho))
    P_3, size_3 = Phi2_sized(*corner_3(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho))
    P_4, size_4 = Phi2_sized(*corner_4(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho))
    P_5, size_5 = Phi2_sized(*corner_5(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho))
    P_6, size_6 = Phi2_sized(*corner_6(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho))
    P_7, size_7 = Phi2_sized(*corner_7(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho))
    P_8, size_8 = Phi2_sized(*corner_8(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho))
    return covariance(m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho, P_0, P_1, P_2, P_3, P_4, P_5, P_6, P_7, P_8, size_0, size_1, size_2, size_3, size_4, size_5, size_6, size_7, size_8)


@loop
def covariance_loop(mean_1, std_1, mean_2, std_2, rho, out, doubt):
    # one array for all of a block: then it is seen that nothing overlaps, and the loops are vector code
    work = np.empty((70, BLOCK))
    for start in range(0, out.size, BLOCK):
        n = load(work, start, mean_1, std_1, mean_2, std_2, rho)
        for i in range(n):
            m_1, s_1, m_2, s_2, r, less, more = pair(work, i)
            work[5, i], work[6, i], work[7, i], work[8, i], work[9, i] = corner_0(m_1, s_1, m_2, s_2, r, less, more)
            work[10, i], work[11, i], work[12, i], work[13, i], work[14, i] = corner_1(m_1, s_1, m_2, s_2, r, less, more)
            work[15, i], work[16, i], work[17, i], work[18, i], work[19, i] = corner_2(m_1, s_1, m_2, s_2, r, less, more)
            work[20, i], work[21, i], work[22, i], work[23, i], work[24, i] = corner_3(m_1, s_1, m_2, s_2, r, less, more)
            work[25, i], work[26, i], work[27, i], work[28, i], work[29, i] = corner_4(m_1, s_1, m_2, s_2, r, less, more)
            work[30, i], work[31, i], work[32, i], work[33, i], work[34, i] = corner_5(m_1, s_1, m_2, s_2, r, less, more)
            work[35, i], work[36, i], work[37, i], work[38, i], work[39, i] = corner_6(m_1, s_1, m_2, s_2, r, less, more)
            work[40, i], work[41, i], work[42, i], work[43, i], work[44, i] = corner_7(m_1, s_1, m_2, s_2, r, less, more)
            work[45, i], work[46, i], work[47, i], work[48, i], work[49, i] = corner_8(m_1, s_1, m_2, s_2, r, less, more)
        distributions(work[5:50], work[50:68], n)
        for i in range(n):
            m_1, s_1, m_2, s_2, r, less, more = pair(work, i)
            work[68, i], work[69, i] = covariance(m_1, s_1, m_2, s_2, r, less, more, work[50, i], work[51, i], work[52, i], work[53, i], work[54, i], work[55, i], work[56, i], work[57, i], work[58, i], work[59, i], work[60, i], work[61, i], work[62, i], work[63, i], work[64, i], work[65, i], work[66, i], work[67, i])
        store(work, start, n, out, doubt)
